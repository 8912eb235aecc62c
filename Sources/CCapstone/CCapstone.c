/* SPDX-License-Identifier: Apache-2.0 */
#include "CCapstone.h"

#include <capstone/capstone.h>
#include <stdlib.h>
#include <string.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

/* What the System V ABI lets a called function change. */
#define CALL_CLOBBERED                                                                                                 \
	(1u << RAX | 1u << RCX | 1u << RDX | 1u << RSI | 1u << RDI | 1u << R8 | 1u << R9 | 1u << R10 | 1u << R11)

struct tlswatch_decoder {
	csh handle;
	cs_insn *instruction;
};

struct tlswatch_decoder *tlswatch_decoder_create(void)
{
	struct tlswatch_decoder *decoder = calloc(1, sizeof(*decoder));

	if (!decoder)
		return NULL;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &decoder->handle) != CS_ERR_OK) {
		free(decoder);
		return NULL;
	}
	cs_option(decoder->handle, CS_OPT_DETAIL, CS_OPT_ON);
	decoder->instruction = cs_malloc(decoder->handle);
	if (!decoder->instruction) {
		cs_close(&decoder->handle);
		free(decoder);
		return NULL;
	}
	return decoder;
}

void tlswatch_decoder_destroy(struct tlswatch_decoder *decoder)
{
	if (!decoder)
		return;
	cs_free(decoder->instruction, 1);
	cs_close(&decoder->handle);
	free(decoder);
}

#define FAMILY(number, r64, r32, r16, r8)                                                                              \
	case X86_REG_##r64:                                                                                            \
	case X86_REG_##r32:                                                                                            \
	case X86_REG_##r16:                                                                                            \
	case X86_REG_##r8:                                                                                             \
		return number

static uint8_t family(unsigned int reg)
{
	switch (reg) {
		FAMILY(0, RAX, EAX, AX, AL);
		FAMILY(1, RCX, ECX, CX, CL);
		FAMILY(2, RDX, EDX, DX, DL);
		FAMILY(3, RBX, EBX, BX, BL);
		FAMILY(4, RSP, ESP, SP, SPL);
		FAMILY(5, RBP, EBP, BP, BPL);
		FAMILY(6, RSI, ESI, SI, SIL);
		FAMILY(7, RDI, EDI, DI, DIL);
		FAMILY(8, R8, R8D, R8W, R8B);
		FAMILY(9, R9, R9D, R9W, R9B);
		FAMILY(10, R10, R10D, R10W, R10B);
		FAMILY(11, R11, R11D, R11W, R11B);
		FAMILY(12, R12, R12D, R12W, R12B);
		FAMILY(13, R13, R13D, R13W, R13B);
		FAMILY(14, R14, R14D, R14W, R14B);
		FAMILY(15, R15, R15D, R15W, R15B);
	default:
		return TLSWATCH_NO_REGISTER;
	}
}

/* The register that a write through `reg` changes; the high-byte ones belong to a family as well. */
static uint8_t written_family(unsigned int reg)
{
	switch (reg) {
	case X86_REG_AH:
		return RAX;
	case X86_REG_BH:
		return RBX;
	case X86_REG_CH:
		return RCX;
	case X86_REG_DH:
		return RDX;
	default:
		return family(reg);
	}
}

static uint8_t operation(unsigned int id)
{
	switch (id) {
	case X86_INS_MOV:
	case X86_INS_MOVABS:
		return TLSWATCH_OP_MOV;
	case X86_INS_MOVZX:
		return TLSWATCH_OP_MOVZX;
	case X86_INS_MOVSX:
	case X86_INS_MOVSXD:
		return TLSWATCH_OP_MOVSX;
	case X86_INS_LEA:
		return TLSWATCH_OP_LEA;
	case X86_INS_PUSH:
		return TLSWATCH_OP_PUSH;
	case X86_INS_POP:
		return TLSWATCH_OP_POP;
	case X86_INS_ADD:
		return TLSWATCH_OP_ADD;
	case X86_INS_SUB:
		return TLSWATCH_OP_SUB;
	case X86_INS_AND:
		return TLSWATCH_OP_AND;
	case X86_INS_XOR:
		return TLSWATCH_OP_XOR;
	case X86_INS_SHL:
		return TLSWATCH_OP_SHL;
	case X86_INS_SHR:
		return TLSWATCH_OP_SHR;
	case X86_INS_SAR:
		return TLSWATCH_OP_SAR;
	case X86_INS_CMP:
		return TLSWATCH_OP_CMP;
	case X86_INS_TEST:
		return TLSWATCH_OP_TEST;
	case X86_INS_CALL:
		return TLSWATCH_OP_CALL;
	case X86_INS_JMP:
		return TLSWATCH_OP_JMP;
	case X86_INS_RET:
		return TLSWATCH_OP_RET;
	case X86_INS_NOP:
		return TLSWATCH_OP_NOP;
	case X86_INS_LEAVE:
		return TLSWATCH_OP_LEAVE;
	case X86_INS_CDQE:
		return TLSWATCH_OP_CDQE;
	case X86_INS_INC:
		return TLSWATCH_OP_INC;
	case X86_INS_DEC:
		return TLSWATCH_OP_DEC;
	case X86_INS_BT:
		return TLSWATCH_OP_BT;
	case X86_INS_OR:
		return TLSWATCH_OP_OR;
	case X86_INS_UD2:
	case X86_INS_HLT:
	case X86_INS_INT3:
		return TLSWATCH_OP_TRAP;
	default:
		return TLSWATCH_OP_OTHER;
	}
}

static void fill_operand(struct tlswatch_operand *out, const cs_x86_op *op, uint64_t next)
{
	out->width = op->size;
	switch (op->type) {
	case X86_OP_REG:
		out->reg = family(op->reg);
		out->kind = out->reg == TLSWATCH_NO_REGISTER ? TLSWATCH_OPERAND_OTHER : TLSWATCH_OPERAND_REGISTER;
		break;
	case X86_OP_IMM:
		out->kind = TLSWATCH_OPERAND_IMMEDIATE;
		out->value = op->imm;
		break;
	case X86_OP_MEM:
		out->kind = TLSWATCH_OPERAND_MEMORY;
		out->value = op->mem.disp;
		out->scale = (uint8_t)op->mem.scale;
		out->base = family(op->mem.base);
		out->index = family(op->mem.index);
		if (op->mem.base == X86_REG_RIP) {
			out->rip_relative = true;
			out->value = (int64_t)(next + (uint64_t)op->mem.disp);
		} else if (op->mem.base != X86_REG_INVALID && out->base == TLSWATCH_NO_REGISTER) {
			out->opaque_address = true;
		}
		if (op->mem.index != X86_REG_INVALID && op->mem.index != X86_REG_RIZ &&
		    out->index == TLSWATCH_NO_REGISTER)
			out->opaque_address = true;
		/* The others have no effect in 64-bit mode: compilers pad instructions with their prefixes. */
		if (op->mem.segment == X86_REG_FS || op->mem.segment == X86_REG_GS)
			out->opaque_address = true;
		break;
	default:
		out->kind = TLSWATCH_OPERAND_OTHER;
		break;
	}
}

static void clear_operand(struct tlswatch_operand *operand)
{
	operand->reg = TLSWATCH_NO_REGISTER;
	operand->base = TLSWATCH_NO_REGISTER;
	operand->index = TLSWATCH_NO_REGISTER;
}

/*
 * Capstone's access table has gaps, so this errs towards "changed": each register operand of an
 * instruction that is not known by name counts as written.
 */
static uint16_t written(csh handle, const cs_insn *insn, uint8_t op)
{
	cs_regs read, write;
	uint8_t reads = 0, writes = 0;
	uint16_t mask = 0;
	const cs_x86 *x86 = &insn->detail->x86;

	if (cs_regs_access(handle, insn, read, &reads, write, &writes) == CS_ERR_OK)
		for (uint8_t i = 0; i < writes; i++) {
			uint8_t reg = written_family(write[i]);
			if (reg != TLSWATCH_NO_REGISTER)
				mask |= (uint16_t)(1u << reg);
		}
	for (uint8_t i = 0; i < x86->op_count && i < 8; i++) {
		if (x86->operands[i].type != X86_OP_REG)
			continue;
		bool all = op == TLSWATCH_OP_OTHER;
		bool destination = i == 0 && op != TLSWATCH_OP_CMP && op != TLSWATCH_OP_TEST &&
				   op != TLSWATCH_OP_PUSH && op != TLSWATCH_OP_CALL && op != TLSWATCH_OP_JMP &&
				   op != TLSWATCH_OP_NOP;
		uint8_t reg = written_family(x86->operands[i].reg);
		if ((all || destination) && reg != TLSWATCH_NO_REGISTER)
			mask |= (uint16_t)(1u << reg);
	}
	switch (op) {
	case TLSWATCH_OP_NOP: /* its operands are decoration */
	case TLSWATCH_OP_ENDBR:
	case TLSWATCH_OP_JCC:
	case TLSWATCH_OP_JMP:
		return 0;
	case TLSWATCH_OP_CALL:
		return CALL_CLOBBERED;
	case TLSWATCH_OP_PUSH:
		return 1u << RSP;
	case TLSWATCH_OP_POP:
		return mask | 1u << RSP;
	case TLSWATCH_OP_LEAVE:
		return 1u << RSP | 1u << RBP;
	default:
		return mask;
	}
}

bool tlswatch_decode(struct tlswatch_decoder *decoder, const uint8_t *bytes, size_t count, uint64_t address,
		     struct tlswatch_instruction *out)
{
	static const uint8_t endbr64[4] = { 0xf3, 0x0f, 0x1e, 0xfa };
	const uint8_t *cursor = bytes;
	size_t left = count < 16 ? count : 16;
	uint64_t at = address;
	cs_insn *insn;

	if (!decoder || !bytes || !out)
		return false;
	memset(out, 0, sizeof(*out));
	out->address = address;
	out->condition = TLSWATCH_CONDITION_NONE;
	clear_operand(&out->first);
	clear_operand(&out->second);
	clear_operand(&out->third);
	if (left >= 1)
		out->byte0 = bytes[0];
	if (left >= 2)
		out->byte1 = bytes[1];
	if (left >= 4 && !memcmp(bytes, endbr64, 4)) {
		out->size = 4;
		out->operation = TLSWATCH_OP_ENDBR;
		return true;
	}
	insn = decoder->instruction;
	if (!cs_disasm_iter(decoder->handle, &cursor, &left, &at, insn) || !insn->detail)
		return false;

	const cs_x86 *x86 = &insn->detail->x86;

	out->size = (uint8_t)insn->size;
	out->operation = operation(insn->id);
	out->operand_count = x86->op_count;
	/* By opcode: Capstone has a mnemonic for each of the sixteen. */
	if (x86->opcode[0] >= 0x70 && x86->opcode[0] <= 0x7f) {
		out->operation = TLSWATCH_OP_JCC;
		out->condition = x86->opcode[0] & 15;
	} else if (x86->opcode[0] == 0x0f && x86->opcode[1] >= 0x80 && x86->opcode[1] <= 0x8f) {
		out->operation = TLSWATCH_OP_JCC;
		out->condition = x86->opcode[1] & 15;
	} else if (x86->opcode[0] == 0x0f && x86->opcode[1] >= 0x40 && x86->opcode[1] <= 0x4f) {
		out->operation = TLSWATCH_OP_CMOV;
		out->condition = x86->opcode[1] & 15;
	}
	if (x86->op_count > 0)
		fill_operand(&out->first, &x86->operands[0], address + insn->size);
	if (x86->op_count > 1)
		fill_operand(&out->second, &x86->operands[1], address + insn->size);
	if (x86->op_count > 2)
		fill_operand(&out->third, &x86->operands[2], address + insn->size);
	out->written = written(decoder->handle, insn, out->operation);
	return true;
}
