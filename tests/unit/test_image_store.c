// SPDX-License-Identifier: Apache-2.0
/* The image store with layers made by hand: transactions, names, pins, sweeping, a torn index, and
 * a crash at each of its failpoints. */
#include "agent/images.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/codec_worker.h"
#include "agent/images_rm.h"
#include "agent/images_txn.h"
#include "agent/treerm.h"
#include "common/cleanup.h"

static char state[64];
static struct images *images;
static struct err e;

static void setup(void)
{
    (void)snprintf(state, sizeof(state), "/tmp/wherry-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(state));
    ck_assert_msg(images_open(state, &images, &e) == 0, "%s", e.text);
}

static void remove_all(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(treerm_empty(fd, path, &e), 0);
    (void)close(fd);
    (void)rmdir(path);
}

static void teardown(void)
{
    images_close(images);
    remove_all(state);
}

/* "sha256:" and 64 times the digit. */
static const char *digest(char digit)
{
    static char texts[256][80];
    char *text = texts[(unsigned char)digit];

    memcpy(text, "sha256:", 7);
    memset(text + 7, digit, 64);
    text[71] = '\0';
    return text;
}

static int add(struct images_txn *txn, const struct load_event *event)
{
    auto_buf struct buf bytes = {0};

    codec_worker_event_encode(event, &bytes);
    return images_txn_add(txn, bytes.data, bytes.len, &e);
}

static void stage(struct images_txn *txn, unsigned number, char layer, bool opaque)
{
    struct load_event event = {.type = LOAD_EVENT_LAYER};
    char path[64];
    int fd;

    (void)snprintf(event.layer.staged, sizeof(event.layer.staged), "%u", number);
    ck_assert_int_eq(mkdirat(images_txn_staging_fd(txn), event.layer.staged, 0755), 0);
    (void)snprintf(path, sizeof(path), "%u/is-%c", number, layer);
    fd = openat(images_txn_staging_fd(txn), path, O_CREAT | O_WRONLY, 0644);
    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    memcpy(event.layer.info.diff_id, digest(layer), 72);
    event.layer.info.bytes = 100;
    event.layer.info.opaque = opaque;
    ck_assert_msg(add(txn, &event) == 0, "%s", e.text);
}

static void add_image(struct images_txn *txn, const char *name, char id, const char *layers)
{
    struct load_event event = {.type = LOAD_EVENT_IMAGE};
    struct image *image = &event.image;

    image_name_add(image, name);
    memcpy(image->digest, digest(id), 72);
    memcpy(image->config_digest, digest(id), 72);
    for (; *layers != '\0'; layers++) {
        image_diff_id_add(image, digest(*layers));
    }
    image_strv_add(&image->cmd, &image->n_cmd, "/bin/sh");
    image_pairs_add(&image->env, &image->n_env, "PATH", "/bin");
    image->stop_signal = 15;
    ck_assert_msg(add(txn, &event) == 0, "%s", e.text);
    image_finish(image);
}

/* One image whose layers are staged as far as they are not known. */
static int load(const char *name, char id, const char *layers)
{
    struct images_txn *txn;
    int rc = images_txn_begin(images, false, &txn, &e);
    const char **known;

    ck_assert_msg(rc == 0, "%s", e.text);
    known = images_txn_known(txn);
    for (unsigned i = 0; layers[i] != '\0'; i++) {
        bool have = false;

        for (const char **k = known; *k != NULL; k++) {
            have |= strcmp(*k, digest(layers[i])) == 0;
        }
        for (unsigned j = 0; j < i; j++) {
            have |= layers[j] == layers[i];
        }
        if (!have) {
            stage(txn, i, layers[i], layers[i] == 'f');
        }
    }
    free(known);
    add_image(txn, name, id, layers);
    rc = images_txn_commit(txn, NULL, &e);
    images_txn_end(txn);
    return rc;
}

static bool exists(const char *fmt, ...)
{
    char path[512], tail[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(tail, sizeof(tail), fmt, ap);
    va_end(ap);
    (void)snprintf(path, sizeof(path), "%s/images/%s", state, tail);
    return access(path, F_OK) == 0;
}

START_TEST(load_and_find)
{
    const struct image *image;

    ck_assert_msg(load("docker.io/shop/web:1", '1', "abc") == 0, "%s", e.text);
    image = images_find(images, "shop/web:1");
    ck_assert_ptr_nonnull(image);
    ck_assert_ptr_eq(image, images_find(images, digest('1')));
    ck_assert_ptr_eq(image, images_find(images, "111111111111"));
    ck_assert_ptr_eq(image, images_find(images, "sha256:1111111111111"));
    ck_assert_ptr_null(images_find(images, "11111111111"));
    ck_assert_ptr_null(images_find(images, "shop/web:2"));
    ck_assert_ptr_null(images_find(images, "NOT A NAME"));
    ck_assert_uint_eq(image->n_layers, 3);
    ck_assert_str_eq(image->layers[0].diff_id, digest('c')); /* top first */
    ck_assert(exists("layers/%s/is-c", image->layers[0].link));
    ck_assert_str_eq(image->cmd[0], "/bin/sh");
    ck_assert_ptr_null(image->cmd[1]);
    ck_assert_str_eq(image->env[0].value, "/bin");
    ck_assert_uint_eq(image->bytes, 300);
    ck_assert(!exists("staging"));
}
END_TEST

START_TEST(layers_of_an_image)
{
    /* Repeated: the topmost counts. Opaque ('f'): nothing below it. */
    ck_assert_int_eq(load("docker.io/x/a:1", '1', "abacd"), 0);
    ck_assert_uint_eq(images_at(images, 0)->n_layers, 4);
    ck_assert_str_eq(images_at(images, 0)->layers[2].diff_id, digest('a'));
    ck_assert_str_eq(images_at(images, 0)->layers[3].diff_id, digest('b'));
    ck_assert_int_eq(load("docker.io/x/a:2", '2', "abfc"), 0);
    ck_assert_uint_eq(images_find(images, "x/a:2")->n_layers, 2);
}
END_TEST

START_TEST(names_move)
{
    ck_assert_int_eq(load("docker.io/x/a:1", '1', "ab"), 0);
    ck_assert_int_eq(load("docker.io/x/a:1", '2', "ac"), 0);
    ck_assert_uint_eq(images_count(images), 2);
    ck_assert_str_eq(images_find(images, "x/a:1")->digest, digest('2'));
    ck_assert_uint_eq(images_find(images, digest('1'))->n_names, 0);
    ck_assert_int_eq(load("docker.io/x/b:1", '2', "ac"), 0);
    ck_assert_uint_eq(images_find(images, "x/a:1")->n_names, 2);
}
END_TEST

START_TEST(remove_keeps_shared)
{
    bool removed = false;

    ck_assert_int_eq(load("docker.io/x/a:1", '1', "ab"), 0);
    ck_assert_int_eq(load("docker.io/x/b:1", '2', "ac"), 0);
    ck_assert_int_eq(images_rm(images, "x/a:1", false, &removed, &e), 0);
    ck_assert(removed);
    ck_assert(exists("layers/1/is-a") && !exists("layers/2") && exists("layers/3/is-c"));
    ck_assert_int_eq(images_rm(images, "x/none", false, &removed, &e), -ENOENT);
    ck_assert_int_eq(load("docker.io/x/c:1", '2', "ac"), 0);
    ck_assert_int_eq(images_rm(images, "x/b:1", false, &removed, &e), 0);
    ck_assert(!removed); /* only the name */
    ck_assert_int_eq(images_rm(images, digest('2'), false, &removed, &e), 0);
    ck_assert(removed && !exists("layers/1") && !exists("layers/3"));
    ck_assert_uint_eq(images_count(images), 0);
    ck_assert_int_eq(load("docker.io/x/a:1", '1', "a"), 0);
    ck_assert(exists("layers/4")); /* links are never used again */
}
END_TEST

static bool keep_b(void *arg, const char *owner)
{
    (void)arg;
    return strcmp(owner, "b") == 0;
}

START_TEST(pins)
{
    ck_assert_int_eq(load("docker.io/x/a:1", '1', "ab"), 0);
    ck_assert_int_eq(images_pin(images, digest('1'), "a", &e), 0);
    ck_assert_int_eq(images_pin(images, digest('1'), "b", &e), 0);
    ck_assert_int_eq(images_pin(images, digest('1'), "b", &e), 0);
    ck_assert_int_eq(images_pin(images, digest('2'), "b", &e), -ENOENT);
    ck_assert_int_eq(images_pin(images, digest('1'), "../b", &e), -EINVAL);
    ck_assert_int_eq(images_rm(images, "x/a:1", false, NULL, &e), -EBUSY);
    ck_assert_ptr_nonnull(strstr(e.text, "2 containers"));
    ck_assert_int_eq(images_pins_sweep(images, keep_b, NULL, &e), 0);
    ck_assert_int_eq(images_rm(images, "x/a:1", false, NULL, &e), -EBUSY);
    ck_assert_ptr_nonnull(strstr(e.text, "1 container: b"));
    ck_assert_int_eq(images_unpin(images, digest('1'), "b", &e), 0);
    ck_assert_int_eq(images_unpin(images, digest('1'), "b", &e), 0);
    ck_assert_int_eq(images_rm(images, "x/a:1", false, NULL, &e), 0);
}
END_TEST

START_TEST(aborted)
{
    struct images_txn *txn;

    ck_assert_int_eq(images_txn_begin(images, false, &txn, &e), 0);
    stage(txn, 0, 'a', false);
    images_txn_end(txn);
    ck_assert(!exists("staging") && !exists("layers/1"));
    /* An image whose layer was never staged. */
    ck_assert_int_eq(images_txn_begin(images, false, &txn, &e), 0);
    stage(txn, 0, 'a', false);
    add_image(txn, "docker.io/x/a:1", '1', "ab");
    ck_assert_int_eq(images_txn_commit(txn, NULL, &e), -EBADMSG);
    images_txn_end(txn);
    ck_assert(!exists("layers/1") && !exists("index"));
    ck_assert_uint_eq(images_count(images), 0);
}
END_TEST

START_TEST(locked)
{
    struct images_txn *txn, *other;
    struct images *second;

    ck_assert_int_eq(images_reopen(images, &second, &e), 0);
    ck_assert_int_eq(images_txn_begin(images, false, &txn, &e), 0);
    ck_assert_int_eq(images_txn_begin(second, false, &other, &e), -EBUSY);
    ck_assert_ptr_nonnull(strstr(e.text, "process "));
    images_txn_end(txn);
    ck_assert_int_eq(images_txn_begin(second, false, &other, &e), 0);
    images_txn_end(other);
    images_close(second);
}
END_TEST

START_TEST(seen_by_others)
{
    struct images *second;

    ck_assert_int_eq(images_reopen(images, &second, &e), 0);
    ck_assert(!images_changed(second));
    ck_assert_int_eq(load("docker.io/x/a:1", '1', "a"), 0);
    ck_assert(images_changed(second));
    ck_assert_int_eq(images_reload(second, &e), 0);
    ck_assert(!images_changed(second));
    ck_assert_ptr_nonnull(images_find(second, "x/a:1"));
    images_close(second);
}
END_TEST

/* Every shorter index and every flipped bit is refused, with its path; never half read. */
START_TEST(damaged_index)
{
    char path[128], bytes[4096];
    struct images *second;
    ssize_t len;
    int fd;

    ck_assert_int_eq(load("docker.io/x/a:1", '1', "ab"), 0);
    (void)snprintf(path, sizeof(path), "%s/images/index", state);
    fd = open(path, O_RDWR | O_CLOEXEC);
    len = read(fd, bytes, sizeof(bytes));
    ck_assert(len > 100 && len < (ssize_t)sizeof(bytes));
    for (ssize_t i = 0; i < len; i++) {
        bytes[i] ^= (char)(1 << (i % 8));
        ck_assert_int_eq(pwrite(fd, bytes, (size_t)len, 0), len);
        ck_assert_int_eq(images_open(state, &second, &e), -EBADMSG);
        ck_assert_ptr_nonnull(strstr(e.text, path));
        bytes[i] ^= (char)(1 << (i % 8));
    }
    for (ssize_t i = len - 1; i >= 0; i--) {
        ck_assert_int_eq(pwrite(fd, bytes, (size_t)len, 0), len);
        ck_assert_int_eq(ftruncate(fd, i), 0);
        ck_assert_int_eq(images_open(state, &second, &e), -EBADMSG);
    }
    (void)close(fd);
    ck_assert_int_eq(images_reload(images, &e), -EBADMSG);
    ck_assert_ptr_nonnull(images_find(images, "x/a:1")); /* the old contents stay */
}
END_TEST

/* Killed at each point: the next process finds the old store or the new one, and after one more
 * load nothing lies about. */
START_TEST(killed)
{
    static const char *const points[] = {
        "agent.image.before_layer_rename", "agent.image.after_layer_rename",
        "agent.image.before_index_sync",   "agent.image.before_index_rename",
        "agent.image.after_index_rename",
    };
    char order[256], file[128];
    int status;

    ck_assert_int_eq(load("docker.io/x/a:1", '1', "ab"), 0);
    (void)snprintf(file, sizeof(file), "%s/once", state);
    (void)snprintf(order, sizeof(order), "%s@%s", points[_i], file);
    (void)close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (fork() == 0) {
        (void)setenv("WHERRY_FAILPOINT", order, 1);
        (void)load("docker.io/x/b:1", '2', "acd");
        _exit(0);
    }
    (void)wait(&status);
    ck_assert(WIFSIGNALED(status));
    ck_assert_msg(images_reload(images, &e) == 0, "%s", e.text);
    ck_assert_ptr_nonnull(images_find(images, "x/a:1"));
    ck_assert_int_eq(images_find(images, "x/b:1") != NULL, _i == 4);
    ck_assert_int_eq(load("docker.io/x/c:1", '3', "ae"), 0);
    ck_assert(!exists("staging") && !exists("trash/s"));
    for (unsigned link = 1; link < 12; link++) {
        bool known = false;

        for (unsigned i = 0; i < images_count(images); i++) {
            for (unsigned k = 0; k < images_at(images, i)->n_layers; k++) {
                known |= (unsigned)strtoul(images_at(images, i)->layers[k].link, NULL, 10) == link;
            }
        }
        ck_assert_int_eq(exists("layers/%u", link), known);
    }
}
END_TEST

START_TEST(private_directory)
{
    char path[128];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/images", state);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
}
END_TEST

/* What a worker that was taken over might say. */
START_TEST(hostile_worker)
{
    static const char *const staged[] = {"..", "a", "", "1/../..", "123456789012", "/etc"};
    struct load_event event = {.type = LOAD_EVENT_LAYER};
    struct images_txn *txn;
    char noise[512];

    ck_assert_int_eq(images_txn_begin(images, false, &txn, &e), 0);
    memcpy(event.layer.info.diff_id, digest('a'), 72);
    for (size_t i = 0; i < ARRAY_LEN(staged); i++) {
        (void)snprintf(event.layer.staged, sizeof(event.layer.staged), "%s", staged[i]);
        if (i != 4) { /* that one does not fit its field here */
            ck_assert_int_eq(add(txn, &event), -EBADMSG);
        }
    }
    (void)snprintf(event.layer.staged, sizeof(event.layer.staged), "1");
    (void)snprintf(event.layer.info.diff_id, sizeof(event.layer.info.diff_id), "sha256:../..");
    ck_assert_int_eq(add(txn, &event), -EBADMSG);
    event = (struct load_event){.type = LOAD_EVENT_DONE};
    ck_assert_int_eq(add(txn, &event), -EINVAL);
    for (unsigned seed = 1; seed < 2000; seed++) {
        for (size_t i = 0; i < sizeof(noise); i++) {
            noise[i] = (char)(random() >> 7);
        }
        ck_assert_int_lt(images_txn_add(txn, noise, seed % sizeof(noise), &e), 0);
    }
    ck_assert_int_eq(images_txn_commit(txn, NULL, &e), -EBADMSG);
    images_txn_end(txn);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image_store");
    TCase *tc = tcase_create("image_store");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, load_and_find);
    tcase_add_test(tc, layers_of_an_image);
    tcase_add_test(tc, names_move);
    tcase_add_test(tc, remove_keeps_shared);
    tcase_add_test(tc, pins);
    tcase_add_test(tc, aborted);
    tcase_add_test(tc, locked);
    tcase_add_test(tc, seen_by_others);
    tcase_add_test(tc, damaged_index);
    tcase_add_loop_test(tc, killed, 0, 5);
    tcase_add_test(tc, private_directory);
    tcase_add_test(tc, hostile_worker);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
