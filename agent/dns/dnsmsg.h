// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DNS_DNSMSG_H
#define WHERRY_AGENT_DNS_DNSMSG_H

/* Messages of the domain name system (RFC 1035, section 4; EDNS0 by RFC 6891): one question is
 * read, an answer is written. Nothing here allocates, and nothing follows a compression pointer: a
 * question has none, and of foreign answers only lengths are walked. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNSMSG_HEADER    12
#define DNSMSG_NAME_TEXT 256 /* labels with dots between, and its end */
#define DNSMSG_NAME_WIRE 255
#define DNSMSG_PLAIN_MAX 512 /* by UDP without EDNS */

#define DNSMSG_QR 0x8000u
#define DNSMSG_AA 0x0400u
#define DNSMSG_TC 0x0200u
#define DNSMSG_RD 0x0100u
#define DNSMSG_RA 0x0080u

enum dnsmsg_type {
    DNSMSG_A = 1,
    DNSMSG_NS = 2,
    DNSMSG_SOA = 6,
    DNSMSG_PTR = 12,
    DNSMSG_HINFO = 13,
    DNSMSG_AAAA = 28,
    DNSMSG_SRV = 33,
    DNSMSG_OPT = 41,
    DNSMSG_ANY = 255
};

enum dnsmsg_rcode {
    DNSMSG_NOERROR = 0,
    DNSMSG_FORMERR = 1,
    DNSMSG_SERVFAIL = 2,
    DNSMSG_NXDOMAIN = 3,
    DNSMSG_NOTIMP = 4,
    DNSMSG_REFUSED = 5
};

struct dnsmsg_question {
    uint16_t id;
    uint16_t flags;
    uint16_t type;
    uint16_t class;
    uint8_t wire[DNSMSG_NAME_WIRE]; /* as asked, with its case */
    uint8_t wire_len;               /* 0: the question itself cannot be read */
    char name[DNSMSG_NAME_TEXT];    /* lower case, no dot at its end; "" is the root */
    bool odd;                       /* a label holds a dot or a NUL: `name` is not it */
    bool edns;
    uint16_t udp_size; /* what the asker can take by UDP */
};

/* Reads a question. Returns the rcode to answer with (0: all is well), or -1: no answer is due (it
 * is an answer itself, or has no header). */
int dnsmsg_read(const void *message, size_t len, struct dnsmsg_question *ret);

/* "web.shop" as labels. Returns the length, 0: it is no name. */
size_t dnsmsg_name_wire(const char *name, uint8_t ret[DNSMSG_NAME_WIRE]);

/* An answer that grows in a buffer of the caller. What does not fit any more is left out, and
 * `truncated` set. */
struct dnsmsg_writer {
    uint8_t *bytes;
    size_t size;
    size_t len;
    bool truncated;
    uint16_t answers, authority, additional;
};

/* Header and question; the flags RD and id as asked. `size`: how much may be written in all. */
void dnsmsg_begin(struct dnsmsg_writer *w, void *bytes, size_t size,
                  const struct dnsmsg_question *q);

enum dnsmsg_section { DNSMSG_ANSWER, DNSMSG_AUTHORITY, DNSMSG_ADDITIONAL };

/* One record; `name` NULL: the one asked for. */
void dnsmsg_put(struct dnsmsg_writer *w, enum dnsmsg_section section, const char *name,
                uint16_t type, uint32_t ttl, const void *data, size_t len);
void dnsmsg_put_a(struct dnsmsg_writer *w, enum dnsmsg_section section, const char *name,
                  uint32_t ttl, uint32_t address);
void dnsmsg_put_aaaa(struct dnsmsg_writer *w, enum dnsmsg_section section, const char *name,
                     uint32_t ttl, const uint8_t address[16]);
void dnsmsg_put_ptr(struct dnsmsg_writer *w, uint32_t ttl, const char *target);
void dnsmsg_put_srv(struct dnsmsg_writer *w, uint32_t ttl, uint16_t port, const char *target);
/* Of `zone`, for answers that say no (RFC 2308). */
void dnsmsg_put_soa(struct dnsmsg_writer *w, const char *zone, uint32_t ttl);

/* Sets counts, flags and rcode, and the OPT record if the asker sent one. Returns the length. */
size_t dnsmsg_end(struct dnsmsg_writer *w, const struct dnsmsg_question *q, bool authoritative,
                  enum dnsmsg_rcode rcode);

/* ---- answers of others ---- */

/* Whether it answers exactly this question (id, name with its case, type, class). */
bool dnsmsg_answers(const void *message, size_t len, const struct dnsmsg_question *q);

enum dnsmsg_rcode dnsmsg_rcode(const void *message);
bool dnsmsg_truncated(const void *message);

/* Walks all records; of each but OPT the TTL is lowered by `age` (0: only looked at). Gives the
 * lowest TTL; false: it breaks off, or has no records. */
bool dnsmsg_ttl(void *message, size_t len, uint32_t age, uint32_t *ret_lowest);

/* Big-endian numbers in a message. */
uint16_t dnsmsg_get16(const void *at);
void dnsmsg_put16(void *at, uint16_t value);

#endif
