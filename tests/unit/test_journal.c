// SPDX-License-Identifier: Apache-2.0
/* The agent's journal: what was written is read again; every cut is a torn tail; every flipped bit
 * of a finished batch is refused. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/journal.h"
#include "common/cleanup.h"
#include "common/crc32c.h"

#define BATCHES 3

struct seen {
    unsigned n;
    char last[64];
};

static int each(void *arg, const void *bytes, size_t len, struct err *e)
{
    struct seen *s = arg;

    (void)e;
    s->n++;
    memcpy(s->last, bytes, len < sizeof(s->last) ? len : sizeof(s->last));
    return 0;
}

static char dir[] = "/tmp/test_journal.XXXXXX";

static int open_dir(void)
{
    char fresh[] = "/tmp/test_journal.XXXXXX";

    memcpy(dir, fresh, sizeof(dir));
    ck_assert_ptr_nonnull(mkdtemp(dir));
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void remove_dir(int fd)
{
    (void)unlinkat(fd, "journal", 0);
    (void)unlinkat(fd, "journal.new", 0);
    (void)rmdir(dir);
    (void)close(fd);
}

static struct journal *open_journal(int dir_fd, struct seen *seen, size_t *torn)
{
    struct journal *j = NULL;
    struct err e = {0};
    int rc = journal_open(dir_fd, dir, each, seen, &j, torn, &e);

    ck_assert_msg(rc == 0, "%s", e.text);
    return j;
}

static void write_batches(int dir_fd)
{
    struct seen seen = {0};
    struct journal *j = open_journal(dir_fd, &seen, NULL);

    for (unsigned i = 0; i < BATCHES; i++) {
        auto_buf struct buf payload = {0};

        for (unsigned r = 0; r <= i; r++) {
            journal_put(&payload, "a record with some text in it", 20 + r);
        }
        ck_assert_int_eq(journal_append(j, &payload, NULL), 0);
    }
    journal_close(j);
}

static size_t slurp(int dir_fd, uint8_t *ret, size_t size)
{
    auto_close int fd = openat(dir_fd, "journal", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, ret, size);

    ck_assert_int_gt(n, 0);
    return (size_t)n;
}

START_TEST(crc_is_castagnoli)
{
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}
END_TEST

START_TEST(what_is_written_is_read)
{
    int fd = open_dir();
    struct seen seen = {0};
    size_t torn = 1;

    write_batches(fd);
    journal_close(open_journal(fd, &seen, &torn));
    ck_assert_uint_eq(seen.n, 6);
    ck_assert_uint_eq(torn, 0);
    remove_dir(fd);
}
END_TEST

START_TEST(every_prefix_is_a_torn_tail)
{
    int fd = open_dir();
    uint8_t bytes[4096];
    size_t len;

    write_batches(fd);
    len = slurp(fd, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= len; cut++) {
        struct seen seen = {0};
        struct err e = {0};
        int64_t good = journal_scan(bytes, cut, each, &seen, &e);

        ck_assert_msg(good >= 0, "cut at %zu: %s", cut, e.text);
        ck_assert_int_le(good, (int64_t)cut);
        ck_assert(seen.n == 0 || seen.n == 1 || seen.n == 3 || seen.n == 6);
    }
    remove_dir(fd);
}
END_TEST

START_TEST(every_flipped_bit_is_refused)
{
    int fd = open_dir();
    uint8_t bytes[4096];
    size_t len;

    write_batches(fd);
    len = slurp(fd, bytes, sizeof(bytes));
    for (size_t bit = 0; bit < 8 * len; bit++) {
        struct seen seen = {0};

        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_msg(journal_scan(bytes, len, each, &seen, NULL) < 0, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    remove_dir(fd);
}
END_TEST

START_TEST(sectors_never_written_are_a_torn_tail)
{
    int fd = open_dir();
    uint8_t bytes[8192] = {0};
    auto_buf struct buf payload = {0};
    struct seen seen = {0};
    struct journal *j = open_journal(fd, &seen, NULL);
    char big[3000];
    size_t len;

    memset(big, 'x', sizeof(big));
    journal_put(&payload, big, sizeof(big));
    ck_assert_int_eq(journal_append(j, &payload, NULL), 0);
    journal_close(j);
    len = slurp(fd, bytes, sizeof(bytes));
    memset(bytes + 1024, 0, 512);
    ck_assert_int_eq(journal_scan(bytes, len, each, &seen, NULL), 8);
    ck_assert_uint_eq(seen.n, 0);
    remove_dir(fd);
}
END_TEST

START_TEST(a_torn_tail_is_cut_off_and_written_over)
{
    int fd = open_dir();
    struct seen seen = {0};
    size_t torn = 0;
    struct journal *j;
    auto_buf struct buf payload = {0};
    struct stat st;

    write_batches(fd);
    ck_assert_int_eq(fstatat(fd, "journal", &st, 0), 0);
    {
        auto_close int file = openat(fd, "journal", O_WRONLY | O_CLOEXEC);

        ck_assert_int_eq(ftruncate(file, st.st_size - 5), 0);
    }
    j = open_journal(fd, &seen, &torn);
    ck_assert_uint_eq(seen.n, 3);
    ck_assert_uint_gt(torn, 0);
    journal_put(&payload, "after", 5);
    ck_assert_int_eq(journal_append(j, &payload, NULL), 0);
    journal_close(j);
    seen = (struct seen){0};
    journal_close(open_journal(fd, &seen, &torn));
    ck_assert_uint_eq(seen.n, 4);
    ck_assert_int_eq(memcmp(seen.last, "after", 5), 0);
    remove_dir(fd);
}
END_TEST

START_TEST(a_snapshot_replaces_everything)
{
    int fd = open_dir();
    struct seen seen = {0};
    struct journal *j;
    auto_buf struct buf payload = {0};

    write_batches(fd);
    j = open_journal(fd, &seen, NULL);
    journal_put(&payload, "all of it", 9);
    ck_assert_int_eq(journal_replace(j, &payload, NULL), 0);
    ck_assert_int_eq(journal_append(j, &payload, NULL), 0);
    ck_assert_uint_gt(journal_size(j), journal_base_size(j));
    journal_close(j);
    seen = (struct seen){0};
    journal_close(open_journal(fd, &seen, NULL));
    ck_assert_uint_eq(seen.n, 2);
    remove_dir(fd);
}
END_TEST

START_TEST(a_snapshot_that_was_never_named_goes)
{
    int fd = open_dir();
    struct seen seen = {0};
    int half = openat(fd, "journal.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(half, 0);
    (void)close(half);
    write_batches(fd);
    journal_close(open_journal(fd, &seen, NULL));
    ck_assert_int_ne(faccessat(fd, "journal.new", F_OK, 0), 0);
    remove_dir(fd);
}
END_TEST

START_TEST(another_file_is_refused)
{
    int fd = open_dir();
    struct journal *j = NULL;
    struct err e = {0};

    {
        auto_close int file = openat(fd, "journal", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        ck_assert_int_eq(write(file, "#!/bin/sh\n", 10), 10);
    }
    ck_assert_int_lt(journal_open(fd, dir, each, NULL, &j, NULL, &e), 0);
    ck_assert_ptr_nonnull(strstr(e.text, "no journal"));
    remove_dir(fd);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("journal");
    SRunner *r;
    int failed;

    tcase_add_test(t, crc_is_castagnoli);
    tcase_add_test(t, what_is_written_is_read);
    tcase_add_test(t, every_prefix_is_a_torn_tail);
    tcase_add_test(t, every_flipped_bit_is_refused);
    tcase_add_test(t, sectors_never_written_are_a_torn_tail);
    tcase_add_test(t, a_torn_tail_is_cut_off_and_written_over);
    tcase_add_test(t, a_snapshot_replaces_everything);
    tcase_add_test(t, a_snapshot_that_was_never_named_goes);
    tcase_add_test(t, another_file_is_refused);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed > 0;
}
