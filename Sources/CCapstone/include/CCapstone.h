/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capstone, one x86-64 instruction at a time, in a plain struct: no unions and no pointers, so
 * that Swift reads it as values.
 */
#ifndef TLSWATCH_CCAPSTONE_H
#define TLSWATCH_CCAPSTONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stddef.h>

/* The instructions that code reading tells apart; every other is OTHER. */
enum tlswatch_operation {
	TLSWATCH_OP_OTHER = 0,
	TLSWATCH_OP_MOV,
	TLSWATCH_OP_MOVZX,
	TLSWATCH_OP_MOVSX, /* movsx, movsxd */
	TLSWATCH_OP_LEA,
	TLSWATCH_OP_PUSH,
	TLSWATCH_OP_POP,
	TLSWATCH_OP_ADD,
	TLSWATCH_OP_SUB,
	TLSWATCH_OP_AND,
	TLSWATCH_OP_XOR,
	TLSWATCH_OP_SHL,
	TLSWATCH_OP_SHR,
	TLSWATCH_OP_SAR,
	TLSWATCH_OP_CMP,
	TLSWATCH_OP_TEST,
	TLSWATCH_OP_CALL,
	TLSWATCH_OP_JMP,
	TLSWATCH_OP_JCC, /* a conditional jump; `condition` has the flags */
	TLSWATCH_OP_RET,
	TLSWATCH_OP_NOP, /* of any length */
	TLSWATCH_OP_ENDBR,
	TLSWATCH_OP_LEAVE,
	TLSWATCH_OP_CDQE,
	TLSWATCH_OP_CMOV,
	TLSWATCH_OP_TRAP, /* ud2, hlt, int3: nothing follows */
	TLSWATCH_OP_INC,
	TLSWATCH_OP_DEC,
	TLSWATCH_OP_OR,
	TLSWATCH_OP_BT,
};

enum tlswatch_operand_kind {
	TLSWATCH_OPERAND_NONE = 0,
	TLSWATCH_OPERAND_REGISTER,
	TLSWATCH_OPERAND_IMMEDIATE,
	TLSWATCH_OPERAND_MEMORY,
	TLSWATCH_OPERAND_OTHER, /* vector, segment, high-byte register */
};

#define TLSWATCH_NO_REGISTER 0xff
#define TLSWATCH_CONDITION_NONE 0xff

/* Registers carry the numbers of their encoding: rax 0, rcx 1, rdx 2, rbx 3, rsp 4, rbp 5, rsi 6, rdi 7, r8 8, … */
struct tlswatch_operand {
	int64_t value; /* immediate, jump target, or displacement of a memory operand */
	uint8_t kind;  /* enum tlswatch_operand_kind */
	uint8_t reg;
	uint8_t width; /* bytes */
	uint8_t base;  /* of a memory operand; TLSWATCH_NO_REGISTER: none */
	uint8_t index;
	uint8_t scale;
	bool rip_relative;
	bool opaque_address; /* a segment override or a register that is no general one takes part */
};

struct tlswatch_instruction {
	uint64_t address;
	uint8_t size;          /* bytes */
	uint8_t operation;     /* enum tlswatch_operation */
	uint8_t condition;     /* low four bits of a conditional jump's opcode */
	uint8_t operand_count; /* as encoded; operands after the third are not shown */
	uint8_t byte0;         /* the first two encoded bytes */
	uint8_t byte1;
	uint16_t written; /* one bit a register that may be changed */
	struct tlswatch_operand first;
	struct tlswatch_operand second;
	struct tlswatch_operand third;
};

struct tlswatch_decoder;

/* NULL without memory. One thread at a time may use a decoder. */
struct tlswatch_decoder *tlswatch_decoder_create(void);
void tlswatch_decoder_destroy(struct tlswatch_decoder *decoder);

/* Decodes the instruction that `bytes` begins with; false where the bytes are none, or are cut short. */
bool tlswatch_decode(struct tlswatch_decoder *decoder, const uint8_t *bytes, size_t count, uint64_t address,
		     struct tlswatch_instruction *instruction);

/* memmem(3), which Swift's Glibc does not show. */
const void *tlswatch_find(const void *bytes, size_t count, const void *wanted, size_t length);

#endif
