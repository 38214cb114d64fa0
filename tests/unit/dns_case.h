// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_DNS_CASE_H
#define WHERRY_TESTS_UNIT_DNS_CASE_H

/* Questions and answers of the name system as text, by a reader of its own that fails the test at
 * the first byte that is not as RFC 1035 has it. */

#include <stddef.h>
#include <stdint.h>

#define DNS_CASE_MAX 512 /* bytes of a question */

/* A question with RD set; `edns`: the size of an OPT record, 0: none. Returns its length. */
size_t dns_case_ask(uint8_t ret[DNS_CASE_MAX], uint16_t id, const char *name, uint16_t type,
                    uint16_t edns);

/* What a resolver would send back to it: one address. Returns its length. */
size_t dns_case_reply(const uint8_t *question, uint32_t ttl, uint32_t address,
                      uint8_t ret[DNS_CASE_MAX]);

/* "NOERROR aa [A 10.240.0.1] [] [web.shop A 10.128.0.4]": rcode, flags, and the three sections.
 * Records whose name is the question's do not repeat it; OPT is left out. Static. */
const char *dns_case_text(const uint8_t *message, size_t len);

/* The name of the question in a message, with its case. Static. */
const char *dns_case_asked(const uint8_t *message, size_t len);

uint16_t dns_case_get16(const uint8_t *at);
void dns_case_put16(uint8_t *at, unsigned value);

#endif
