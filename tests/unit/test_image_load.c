// SPDX-License-Identifier: Apache-2.0
/* The loader in this very process, without its jail, so that sanitizers see into it: documents,
 * names of entries, layers by libarchive's own writer, streams. The hostile corpus through the
 * real worker is tests/escape/hostile_images.py. */
#include "agent/worker/load.h"

#include <archive.h>
#include <archive_entry.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "agent/treerm.h"
#include "agent/worker/blobstream.h"
#include "agent/worker/layer.h"
#include "agent/worker/ociconfig.h"
#include "agent/worker/ocijson.h"
#include "agent/worker/tarpath.h"
#include "common/cleanup.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct err e;

/* ---- names ---- */

START_TEST(clean_names)
{
    static const struct {
        const char *raw, *clean; /* NULL: refused */
    } rows[] = {
        {"a", "a"},     {"./a", "a"},   {"a/", "a"},      {"a//b", "a/b"},
        {"./", ""},     {".", ""},      {"", ""},         {"a/./b", "a/b"},
        {"...", "..."}, {"..a", "..a"}, {"/a", NULL},     {"//a", NULL},
        {"..", NULL},   {"a/..", NULL}, {"a/../b", NULL}, {"./..", NULL},
    };
    char path[TARPATH_MAX], raw[6000];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int rc = tarpath_clean(rows[i].raw, path, &e);

        ck_assert_int_eq(rc == 0, rows[i].clean != NULL);
        if (rc == 0) {
            ck_assert_str_eq(path, rows[i].clean);
        }
    }
    for (size_t len = 1; len < sizeof(raw); len++) {
        bool fits = len <= TARPATH_MAX - 1;

        memset(raw, 'a', len);
        for (size_t i = 100; i + 1 < len; i += 100) {
            raw[i] = '/';
        }
        raw[len] = '\0';
        ck_assert_int_eq(tarpath_clean(raw, path, &e) == 0, fits);
    }
}
END_TEST

START_TEST(kinds_of_names)
{
    static const struct {
        const char *base;
        enum tarpath_kind kind;
        const char *hidden;
    } rows[] = {
        {"a", TARPATH_PLAIN, "a"},
        {".wh", TARPATH_PLAIN, ".wh"},
        {".wh.a", TARPATH_WHITEOUT, "a"},
        {".wh..wh..opq", TARPATH_OPAQUE, ".wh..wh..opq"},
        {".wh..wh.plnk", TARPATH_IGNORED, ".wh..wh.plnk"},
        {".wh..wh..opqx", TARPATH_IGNORED, ".wh..wh..opqx"},
        {".wh.", TARPATH_BAD, ".wh."},
        {".wh..", TARPATH_BAD, ".wh.."},
        {".wh...", TARPATH_BAD, ".wh..."},
        {".wh....", TARPATH_WHITEOUT, "..."},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *hidden;

        ck_assert_int_eq(tarpath_kind(rows[i].base, &hidden), rows[i].kind);
        ck_assert_str_eq(hidden, rows[i].hidden);
    }
}
END_TEST

/* ---- documents ---- */

static int parse_config(const char *process, struct image *image)
{
    auto_free char *text =
        xasprintf("{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\","
                  "\"diff_ids\":[\"%s\"]},\"config\":%s}",
                  DIGEST, process);

    return ociconfig_parse(text, strlen(text), "amd64", image, &e);
}

START_TEST(whole_config)
{
    struct image image;

    ck_assert_msg(
        parse_config("{\"User\":\"7:8\",\"Env\":[\"A=b=c\",\"D=\"],\"Entrypoint\":[\"/e\"],"
                     "\"Cmd\":[\"x\",\"y\"],\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGRTMIN+3\","
                     "\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/v\":{}},"
                     "\"Labels\":{\"k\":\"v\"},\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"t\"],"
                     "\"Interval\":1500000000,\"Retries\":4},\"OnBuild\":null}",
                     &image) == 0,
        "%s", e.text);
    ck_assert_str_eq(image.user, "7:8");
    ck_assert_str_eq(image.env[0].key, "A");
    ck_assert_str_eq(image.env[0].value, "b=c");
    ck_assert_str_eq(image.env[1].value, "");
    ck_assert_str_eq(image.entrypoint[0], "/e");
    ck_assert_str_eq(image.cmd[1], "y");
    ck_assert_uint_eq(image.stop_signal, (unsigned)SIGRTMIN + 3);
    ck_assert_str_eq(image.ports[0], "80/tcp");
    ck_assert_str_eq(image.volumes[0], "/v");
    ck_assert_str_eq(image.labels[0].value, "v");
    ck_assert(image.health.set);
    ck_assert_str_eq(image.health.argv[2], "t");
    ck_assert_uint_eq(image.health.interval_ms, 1500);
    ck_assert_uint_eq(image.health.retries, 4);
    image_finish(&image);
    ck_assert_int_eq(parse_config("null", &image), 0);
    ck_assert_uint_eq(image.n_cmd, 0);
    ck_assert_ptr_nonnull(image.cmd);
    image_finish(&image);
    ck_assert_int_eq(parse_config("{\"Healthcheck\":{\"Test\":[\"NONE\"]}}", &image), 0);
    ck_assert(image.health.set && image.health.argc == 0);
    image_finish(&image);
}
END_TEST

START_TEST(wrong_configs)
{
    static const struct {
        const char *process, *says;
    } rows[] = {
        {"[]", "'config' is not an object"},
        {"{\"User\":7}", "'User' is not a string"},
        {"{\"Env\":[\"=x\"]}", "'Env'[0]"},
        {"{\"Env\":[\"A=b\",7]}", "'Env'[1]"},
        {"{\"Cmd\":{}}", "'Cmd' is not an array"},
        {"{\"WorkingDir\":\"w\"}", "'WorkingDir' is 'w'"},
        {"{\"StopSignal\":\"65\"}", "'StopSignal' is '65'"},
        {"{\"StopSignal\":\"SIGRTMIN+99\"}", "'StopSignal'"},
        {"{\"Volumes\":{\"v\":{}}}", "'Volumes' has the key 'v'"},
        {"{\"Labels\":{\"a\":1}}", "'Labels'"},
        {"{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\"]}}", "CMD-SHELL and one text"},
        {"{\"Healthcheck\":{\"Test\":[\"CMD\"],\"Interval\":-1}}", "'Interval'"},
        {"{\"Healthcheck\":{\"Test\":[\"CMD\"],\"Retries\":1.5}}", "'Retries'"},
        {"{\"A\":1,\"A\":2}", "duplicate"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct image image;

        ck_assert_msg(parse_config(rows[i].process, &image) < 0, "%s", rows[i].process);
        ck_assert_msg(strstr(e.text, rows[i].says) != NULL, "%s: %s", rows[i].process, e.text);
    }
}
END_TEST

/* Every prefix of good documents is refused. */
START_TEST(truncated_documents)
{
    static const char manifest[] =
        "{\"schemaVersion\":2,\"config\":{\"mediaType\":"
        "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" DIGEST "\",\"size\":1},"
        "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" DIGEST
        "\",\"size\":2}]}";
    struct ocijson_manifest m;
    struct ocijson_index index;
    struct ocijson_saves saves;

    for (size_t len = 0; len < sizeof(manifest) - 1; len++) {
        ck_assert_int_lt(ocijson_manifest(manifest, len, &m, &e), 0);
        ck_assert_int_lt(ocijson_index(manifest, len, &index, &e), 0);
        ck_assert_int_lt(ocijson_saves(manifest, len, &saves, &e), 0);
    }
    ck_assert_msg(ocijson_manifest(manifest, sizeof(manifest) - 1, &m, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(m.layers[0].size, 2);
    ocijson_manifest_finish(&m);
}
END_TEST

/* ---- streams ---- */

static int memory_file(const void *data, size_t len)
{
    int fd = memfd_create("blob", MFD_CLOEXEC);

    ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
    return fd;
}

static size_t pack_gzip(const char *in, size_t len, char *out, size_t size)
{
    z_stream z = {.next_in = (unsigned char *)in,
                  .avail_in = (unsigned)len,
                  .next_out = (unsigned char *)out,
                  .avail_out = (unsigned)size};

    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    (void)deflateEnd(&z);
    return size - z.avail_out;
}

/* Drains; 0 if the digest of what comes out is that of `want`. */
static int drain(const char *stored, size_t len, const char *want, size_t want_len)
{
    auto_close int fd = memory_file(stored, len);
    struct blobstream *s = blobstream_create(fd, 0, len);
    char text[SHA_TEXT], wanted[SHA_TEXT];
    int rc = blobstream_drain(s, &e);

    if (rc == 0) {
        blobstream_digest(s, text);
        sha_of(want, want_len, wanted);
        ck_assert_str_eq(text, wanted);
        blobstream_stored_digest(s, text);
        sha_of(stored, len, wanted);
        ck_assert_str_eq(text, wanted);
    }
    blobstream_destroy(s);
    return rc;
}

START_TEST(streams)
{
    static char plain[300000], packed[300000];
    size_t sizes[] = {0, 1, 511, 131072, 131073, 262144, sizeof(plain)};

    for (size_t i = 0; i < sizeof(plain); i++) {
        plain[i] = (char)(random() >> 5 & 15);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        size_t len;

        ck_assert_int_eq(drain(plain, sizes[i], plain, sizes[i]), 0);
        len = pack_gzip(plain, sizes[i], packed, sizeof(packed));
        ck_assert_int_eq(drain(packed, len, plain, sizes[i]), 0);
        ck_assert_int_eq(drain(packed, len - 1, plain, sizes[i]), -EBADMSG);
        len = ZSTD_compress(packed, sizeof(packed), plain, sizes[i], 3);
        ck_assert_int_eq(drain(packed, len, plain, sizes[i]), 0);
        ck_assert_int_eq(drain(packed, len - 1, plain, sizes[i]), -EBADMSG);
    }
}
END_TEST

/* ---- layers ---- */

static char dir[64];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/wherry-layer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ck_assert_int_ge(treerm_empty(fd, dir, &e), 0);
    (void)close(fd);
    (void)rmdir(dir);
}

static void put(struct archive *a, const char *name, mode_t mode, const char *data,
                const char *link)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, name);
    archive_entry_set_mode(entry, mode);
    archive_entry_set_mtime(entry, 1000000, 5);
    archive_entry_set_size(entry, data != NULL ? (la_int64_t)strlen(data) : 0);
    if (S_ISLNK(mode)) {
        archive_entry_set_symlink(entry, link);
    } else if (link != NULL) {
        archive_entry_set_hardlink(entry, link);
    }
    ck_assert_int_eq(archive_write_header(a, entry), ARCHIVE_OK);
    if (data != NULL) {
        ck_assert_int_eq(archive_write_data(a, data, strlen(data)), (la_ssize_t)strlen(data));
    }
    archive_entry_free(entry);
}

static int unpack(const char *bytes, size_t len, struct layer_stats *stats)
{
    auto_close int fd = memory_file(bytes, len);
    auto_close int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct blobstream *in = blobstream_create(fd, 0, len);
    int rc = layer_unpack(in, root, NULL, NULL, stats, &e);

    blobstream_destroy(in);
    return rc;
}

static size_t sample(char *bytes, size_t size)
{
    struct archive *a = archive_write_new();
    size_t used = 0;

    ck_assert_int_eq(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_open_memory(a, bytes, size, &used), ARCHIVE_OK);
    put(a, "d/", S_IFDIR | 0750, NULL, NULL);
    put(a, "d/file", S_IFREG | 04711, "contents", NULL);
    put(a, "made/on/the/way", S_IFREG | 0644, "x", NULL);
    put(a, "link", S_IFLNK | 0777, NULL, "d");
    put(a, "link/through", S_IFREG | 0644, "y", NULL);
    put(a, "hard", S_IFREG | 0644, NULL, "d/file");
    put(a, "d/.wh.gone", S_IFREG, "", NULL);
    put(a, ".wh..wh..opq", S_IFREG, "", NULL);
    ck_assert_int_eq(archive_write_close(a), ARCHIVE_OK);
    (void)archive_write_free(a);
    return used;
}

START_TEST(unpacks)
{
    static char bytes[64 * 1024];
    size_t len = sample(bytes, sizeof(bytes));
    struct layer_stats stats;
    char path[128];
    struct stat st, other;

    make_dir();
    ck_assert_msg(unpack(bytes, len, &stats) == 0, "%s", e.text);
    ck_assert(stats.opaque);
    ck_assert_uint_eq(stats.bytes, 10);
    (void)snprintf(path, sizeof(path), "%s/d/file", dir);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 04711);
    ck_assert_int_eq(st.st_mtim.tv_sec, 1000000);
    (void)snprintf(path, sizeof(path), "%s/hard", dir);
    ck_assert_int_eq(lstat(path, &other), 0);
    ck_assert_uint_eq(st.st_ino, other.st_ino);
    (void)snprintf(path, sizeof(path), "%s/d/through", dir);
    ck_assert_int_eq(lstat(path, &st), 0);
    (void)snprintf(path, sizeof(path), "%s/d/gone", dir);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    (void)snprintf(path, sizeof(path), "%s/d", dir);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_int_eq(st.st_mtim.tv_sec, 1000000); /* though files were made in it later */
    remove_dir();
}
END_TEST

/* Cut anywhere, or with any byte changed: an error or another layer, never a crash. */
START_TEST(mangled)
{
    static char bytes[64 * 1024];
    size_t len = sample(bytes, sizeof(bytes));
    struct layer_stats stats;

    make_dir();
    for (size_t at = 0; at < len; at += 37) {
        (void)unpack(bytes, at, &stats);
        bytes[at] ^= 0x55;
        (void)unpack(bytes, len, &stats);
        bytes[at] ^= 0x55;
    }
    remove_dir();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image_load");
    TCase *tc = tcase_create("image_load");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, clean_names);
    tcase_add_test(tc, kinds_of_names);
    tcase_add_test(tc, whole_config);
    tcase_add_test(tc, wrong_configs);
    tcase_add_test(tc, truncated_documents);
    tcase_add_test(tc, streams);
    if (getuid() == 0) {
        tcase_add_test(tc, unpacks);
        tcase_add_test(tc, mangled);
    }
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
