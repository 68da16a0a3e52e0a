/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the beginning of a server's certificate says (RFC 5280, 4.1), as TLS up to 1.2 shows it in clear. A
 * beginning is all that a content holds, so that a real X.509 library, which wants the whole, has no use for
 * it. Untrusted bytes; nothing behind them is read.
 */
#ifndef MOAT_DETECT_X509_H
#define MOAT_DETECT_X509_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moat_certificate {
	/* the issuer's distinguished name as it stands in the message, as far as it was there; never NULL */
	const uint8_t *issuer;
	size_t issuer_length;
	bool is_self_signed; /* the subject is the issuer, byte by byte: known only where all of it was there */
	uint32_t years; /* of validity; 0: not known */
};

/* True if the payload is a ServerHello with a certificate behind it, of which at least the issuer begins. */
bool moat_tls_certificate(const uint8_t *data, size_t length,
			  struct moat_certificate *ret_certificate);

#endif
