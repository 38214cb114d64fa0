// SPDX-License-Identifier: Apache-2.0
/* The agent's journal, as a crash or a stranger leaves it. The first byte chooses: even, the rest
 * is a file; odd, a file is written from the rest, and then cut or damaged. What is read back is
 * what was written up to some batch, or it is refused; nothing that was never written is ever read.
 * And what an agent knows from a journal survives its own snapshot. */
#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "agent/journal.h"
#include "agent/ledger.h"
#include "common/crc32c.h"

#define HEAD        "WHERRYJ1"
#define HEAD_LEN    8
#define RECORDS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what an agent makes of it ---- */

static int learn(void *arg, const void *bytes, size_t len, struct err *e)
{
    struct journal_record record;
    int rc = codec_journal_decode(bytes, len, &record, e);

    if (rc == 0) {
        rc = ledger_apply(arg, &record, e);
        codec_journal_free(&record);
    }
    return rc;
}

static void put_u32(struct buf *out, uint32_t v)
{
    v = htole32(v);
    buf_append(out, &v, sizeof(v));
}

static void put_batch(struct buf *out, const struct buf *payload)
{
    size_t at = out->len;

    put_u32(out, 0x31424a57);
    put_u32(out, (uint32_t)payload->len);
    put_u32(out, crc32c(0, buf_text(payload), payload->len));
    put_u32(out, crc32c(0, out->data + at, 12));
    buf_append(out, buf_text(payload), payload->len);
}

static void check_snapshot(const struct ledger *known)
{
    struct buf first = {0}, file = {0}, second = {0};
    struct ledger again = {0};
    struct err e = {0};

    ledger_snapshot(known, &first);
    buf_append(&file, HEAD, HEAD_LEN);
    put_batch(&file, &first);
    assert(journal_scan(file.data, file.len, learn, &again, &e) == (int64_t)file.len);
    ledger_snapshot(&again, &second);
    assert(first.len == second.len && memcmp(buf_text(&first), buf_text(&second), first.len) == 0);
    ledger_finish(&again);
    buf_finish(&first);
    buf_finish(&file);
    buf_finish(&second);
}

static void read_file(const void *bytes, size_t len)
{
    struct ledger ledger = {0};
    struct err e = {0};
    int64_t good = journal_scan(bytes, len, learn, &ledger, &e);

    assert(good < 0 ? e.code == good && e.text[0] != '\0' : (size_t)good <= len);
    if (good >= 0) {
        struct ledger again = {0};

        assert(journal_scan(bytes, (size_t)good, learn, &again, &e) == good); /* the tail cut off */
        ledger_finish(&again);
        check_snapshot(&ledger);
    }
    ledger_finish(&ledger);
}

/* ---- what was written ---- */

struct written {
    struct buf file;
    struct {
        const uint8_t *bytes;
        size_t len;
    } records[RECORDS_MAX];
    unsigned n;
    struct {
        size_t at;        /* where the file ends after it */
        unsigned records; /* that are there then */
    } ends[RECORDS_MAX + 1];
    unsigned n_ends;
};

static void end_batch(struct written *w, struct buf *payload)
{
    put_batch(&w->file, payload);
    buf_clear(payload);
    w->ends[w->n_ends].at = w->file.len;
    w->ends[w->n_ends++].records = w->n;
}

/* Records are a length byte and as many bytes. */
static void write_file(const uint8_t *data, size_t size, unsigned per_batch, struct written *w)
{
    struct buf payload = {0};
    size_t at = 0;

    buf_append(&w->file, HEAD, HEAD_LEN);
    w->ends[w->n_ends++].at = HEAD_LEN;
    while (at < size && w->n < RECORDS_MAX) {
        size_t len = data[at] < size - at ? data[at] : size - at - 1;

        w->records[w->n].bytes = data + at + 1;
        w->records[w->n++].len = len;
        journal_put(&payload, data + at + 1, len);
        at += 1 + len;
        if (w->n % per_batch == 0) {
            end_batch(w, &payload);
        }
    }
    if (payload.len > 0) {
        end_batch(w, &payload);
    }
    buf_finish(&payload);
}

struct reading {
    const struct written *w;
    unsigned n;
};

static int compare(void *arg, const void *bytes, size_t len, struct err *e)
{
    struct reading *r = arg;

    (void)e;
    assert(r->n < r->w->n && len == r->w->records[r->n].len);
    assert(len == 0 || memcmp(bytes, r->w->records[r->n].bytes, len) == 0);
    r->n++;
    return 0;
}

/* `intact`: as much of the file is as it was written. */
static void check_read(const struct written *w, const void *bytes, size_t len, size_t intact,
                       bool may_refuse)
{
    struct reading r = {.w = w};
    int64_t good = journal_scan(bytes, len, compare, &r, NULL);
    unsigned last = 0;

    while (last + 1 < w->n_ends && w->ends[last + 1].at <= intact) {
        last++;
    }
    if (intact < HEAD_LEN) {
        assert(r.n == 0 && (good == 0 || (may_refuse && good < 0)));
        return;
    }
    assert(good == (int64_t)w->ends[last].at || (may_refuse && good < 0));
    assert(r.n == w->ends[last].records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct written w = {.n = 0};
    size_t at;

    if (size < 5) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        read_file(data + 1, size - 1);
        return 0;
    }
    write_file(data + 5, size - 5, 1 + data[1] % 4, &w);
    at = (data[2] | (size_t)data[3] << 8) % w.file.len;
    check_read(&w, w.file.data, w.file.len, w.file.len, false);
    check_read(&w, w.file.data, at, at, false);
    read_file(w.file.data, w.file.len);
    w.file.data[at] = (char)(w.file.data[at] ^ (data[4] | 1));
    check_read(&w, w.file.data, w.file.len, at, true);
    buf_finish(&w.file);
    return 0;
}
