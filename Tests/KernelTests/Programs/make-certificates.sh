#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the certificates that handshaker needs: make-certificates.sh DIRECTORY
set -eu
cd "${1:?usage: make-certificates.sh DIRECTORY}"

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null ||
	openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

authority() { # name, common name
	key "$1"
	openssl req -x509 -new -key "$1.key" -sha256 -days 3650 -subj "/CN=$2" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
		-out "$1.pem"
}

leaf() { # name, common name, authority, more arguments of openssl x509
	name=$1 subject=$2 authority=$3
	shift 3
	key "$name"
	openssl req -new -key "$name.key" -subj "/CN=$subject" -out "$name.csr"
	printf 'subjectAltName=DNS:%s,DNS:a.example,DNS:public.example,IP:127.0.0.1,IP:::1\n' "$subject" >"$name.ext"
	openssl x509 -req -in "$name.csr" -CA "$authority.pem" -CAkey "$authority.key" -CAcreateserial \
		-sha256 -extfile "$name.ext" -out "$name.pem" "$@" 2>/dev/null
	rm -f "$name.csr" "$name.ext"
}

authority ca "Test authority"
authority other-ca "Unknown authority"
leaf server localhost ca -days 3650
# The key exchange of TLS 1.2 by RSA is the server's private-key operation.
openssl req -x509 -newkey rsa:4096 -nodes -keyout rsa.key -out rsa.pem -days 3650 -subj /CN=localhost \
	-addext subjectAltName=DNS:a.example 2>/dev/null
leaf client client ca -days 3650
leaf bad-client client other-ca -days 3650
# Before 3.4 "openssl x509" knows no -not_after: a negative number of days has the same effect.
leaf expired localhost ca -days -1
