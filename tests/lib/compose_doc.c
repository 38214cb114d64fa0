// SPDX-License-Identifier: Apache-2.0
/* compose-doc FILE: whether the tables of FILE (deploy/docs/compose.md) are those of the reader.
 * compose-doc --write FILE: writes them behind the marker; what is before it is written by hand. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/err.h"

static const char marker[] =
    "<!-- From here on it is written by build/dev/tests/compose-doc --write FILE. -->\n";

/* ---- what a value may be ---- */

static void put_number(struct buf *out, const struct compose_row *row)
{
    buf_printf(out, "%llu to %llu", (unsigned long long)row->min, (unsigned long long)row->max);
}

static void put_size(struct buf *out, uint64_t bytes)
{
    static const char units[] = "bkmgtp";
    unsigned i = 0;

    for (; bytes > 0 && bytes % 1024 == 0 && i < 5; i++) {
        bytes /= 1024;
    }
    buf_printf(out, "%llu%c", (unsigned long long)bytes, units[i]);
}

static void put_bytes(struct buf *out, const struct compose_row *row)
{
    put_size(out, row->min);
    buf_puts(out, " to ");
    put_size(out, row->max);
}

static void put_millis(struct buf *out, const struct compose_row *row)
{
    buf_printf(out, "%llu%s to %lluh", (unsigned long long)row->min, row->min > 0 ? "ms" : "",
               (unsigned long long)(row->max / 3600000));
}

static void put_cpus(struct buf *out, const struct compose_row *row)
{
    buf_printf(out, "%g to %g", (double)row->min / 1000, (double)row->max / 1000);
}

static void put_words(struct buf *out, const struct compose_row *row)
{
    for (const struct compose_word *w = row->words; w->word != NULL; w++) {
        buf_printf(out, "%s`%s`", w == row->words ? "" : ", ", w->word);
    }
}

/* Keys that share a decoder share what it takes; the words are for people. */
static const struct form {
    compose_decode *decode;
    void (*put)(struct buf *out, const struct compose_row *row);
    const char *words;
} forms[] = {
    {compose_object_number, put_number, NULL},
    {compose_object_bytes, put_bytes, NULL},
    {compose_object_millis, put_millis, NULL},
    {compose_service_delay, put_millis, NULL},
    {compose_object_cpus, put_cpus, NULL},
    {compose_object_choice, put_words, NULL},
    {compose_object_flag, NULL, "`true` or `false`"},
    {compose_object_text, NULL, "text"},
    {compose_object_nested, NULL, "a mapping"},
    {compose_list_environment, NULL, "a mapping, or a list of `NAME=value` and `NAME`"},
    {compose_list_labels, NULL, "a mapping, or a list of `key=value`"},
    {compose_list_argv, NULL, "a list, or text that is split as a shell would"},
    {compose_list_capabilities, NULL, "a list of names like `NET_RAW`, or `ALL`"},
    {compose_ports_read, NULL, "a list of `[[HOST_IP:]HOST_PORT:]PORT[/tcp\\|/udp]` or mappings"},
    {compose_mounts_read, NULL, "a list of `SOURCE:TARGET[:ro]` or mappings"},
    {compose_mounts_tmpfs, NULL, "a path, or a list of `PATH[:size=64m,mode=1777]`"},
    {compose_mounts_mode, NULL, "octal, `0` to `7777`"},
    {compose_health_read, NULL, "a mapping"},
    {compose_health_test, NULL, "see [above](#healthcheck)"},
    {compose_health_disable, NULL, "`true` or `false`"},
    {compose_service_image, NULL, "`NAME[:TAG]`, `NAME@sha256:…` or `sha256:…`"},
    {compose_service_restart, NULL,
     "`no`, `always`, `on-failure`, `on-failure:N`, `unless-stopped`"},
    {compose_service_depends, NULL, "a list of services, or a mapping by service"},
    {compose_service_signal, NULL, "`SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`"},
    {compose_service_constraints, NULL, "a list of `KEY==VALUE` and `KEY!=VALUE`"},
    {compose_stack_name, NULL, "`[a-z0-9][a-z0-9_.-]{0,62}`"},
    {compose_stack_services, NULL, "a mapping of 1 to 1000"},
    {compose_stack_named, NULL, "a mapping"},
    {compose_networks_driver, NULL, "`bridge`, `overlay`"},
    {compose_networks_ipam, NULL, "a list of mappings"},
    {compose_networks_subnet, NULL, "like `10.5.0.0/24`; private, prefixes 8 to 30"},
    {compose_networks_use, NULL, "a list of networks, or a mapping by network"},
    {compose_networks_aliases, NULL, "a list of host names"},
    {compose_networks_mac, NULL, "like `02:42:ac:11:00:02`"},
    {compose_names_list, NULL, "text, or a list of it"},
    {compose_names_hosts, NULL,
     "a list of `NAME:ADDRESS`, or a mapping; `host-gateway` is an address"},
    {compose_names_egress, NULL, "`allow`, `deny`, or a list of networks like `192.0.2.0/24`"},
    {compose_names_rate, NULL, "like `10mbit`; `64kbit` to `100gbit`"},
    {compose_stack_external, NULL, "`true` or `false`"},
};

/* Text with a rule of its own. */
static const struct {
    int (*rule)(const char *text, struct err *e);
    const char *words;
} rules[] = {
    {compose_rule_hostname, "letters, digits, `-` and `.`; 63 in all"},
    {compose_rule_host_ip, "an IPv4 address"},
    {compose_rule_user, "name, uid, `uid:gid`, `name:group`; ids 0 to 65535"},
    {compose_rule_volume_name, "`[a-z0-9][a-z0-9_.-]{0,126}`"},
    {compose_rule_working_dir, "an absolute path"},
    {compose_rule_network_name, "`[a-z0-9][a-z0-9_.-]{0,126}`"},
    {compose_rule_domain, "a domain like `example.org`"},
    {compose_rule_ipv4, "an IPv4 address"},
    {compose_rule_mac, "like `02:42:ac:11:00:02`"},
};

static const char *rule_words(const struct compose_row *row)
{
    for (size_t i = 0; row->rule != NULL && i < ARRAY_LEN(rules); i++) {
        if (rules[i].rule == row->rule) {
            return rules[i].words;
        }
    }
    return NULL;
}

static const struct form *form_of(const struct compose_row *row)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (forms[i].decode == row->decode) {
            return &forms[i];
        }
    }
    (void)fprintf(stderr, "compose-doc: \"%s\" has a decoder without words\n", row->key);
    exit(1);
}

/* ---- tables ---- */

static void put_heading(struct buf *out, const char *name)
{
    bool x = strncmp(name, "x-", 2) == 0;

    buf_printf(out, "\n### %c%s\n\n", x ? name[0] : toupper(name[0]), name + 1);
}

static void put_link(struct buf *out, const struct compose_object *object)
{
    buf_printf(out, "[%s](#", object->name);
    for (const char *c = object->name; *c != '\0'; c++) {
        buf_putc(out, *c == ' ' ? '-' : *c);
    }
    buf_puts(out, ")");
}

/* What a key may be that is not honoured: the words that ask for nothing else than what is. */
static void put_harmless(struct buf *out, const char *words)
{
    while (words != NULL && *words != '\0') {
        size_t n = strcspn(words, " ");

        buf_printf(out, "%s`%.*s`", out->data[out->len - 1] == '`' ? ", " : "taken: ", (int)n,
                   words);
        words += n + strspn(words + n, " ");
    }
}

static void put_limits(struct buf *out, const struct compose_row *row)
{
    const struct form *form;
    const char *words = rule_words(row);

    if (row->status != COMPOSE_HONOURED) {
        put_harmless(out, row->harmless);
        return;
    }
    form = form_of(row);
    if (form->put != NULL) {
        form->put(out, row);
    } else {
        buf_puts(out, words != NULL ? words : form->words);
    }
    if (row->object != NULL) {
        buf_puts(out, "; ");
        put_link(out, row->object);
    }
    if (row->preset != NULL) {
        buf_printf(out, "; else `%s`", row->preset);
    }
}

static const char *status_words(const struct compose_row *row)
{
    switch (row->status) {
    case COMPOSE_HONOURED:
        return row->required ? "honoured, required" : "honoured";
    case COMPOSE_LATER:
        return "not yet";
    case COMPOSE_REFUSED:
        return "refused";
    case COMPOSE_MOOT:
        return "no effect";
    }
    abort();
}

static void put_object(struct buf *out, const struct compose_object *object)
{
    put_heading(out, object->name);
    if (object->n == 0) {
        buf_puts(out, "No keys yet.\n");
        return;
    }
    buf_puts(out, "| key | what it is | may be | restarts | status |\n|---|---|---|---|---|\n");
    for (unsigned i = 0; i < object->n; i++) {
        const struct compose_row *row = &object->rows[i];

        buf_printf(out, "| `%s` | %s | ", row->key, row->doc);
        put_limits(out, row);
        buf_printf(out, " | %s | %s |\n", row->restarts ? "yes" : "", status_words(row));
    }
    if (object->wherry != NULL) {
        buf_puts(out, "\nBesides `x-wherry`: ");
        put_link(out, object->wherry);
        buf_puts(out, ".\n");
    }
}

/* ---- the page ---- */

static int read_page(const char *path, struct buf *ret)
{
    auto_fclose FILE *f = fopen(path, "re");
    char chunk[4096];
    size_t n;

    if (f == NULL) {
        perror(path);
        return -1;
    }
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        buf_append(ret, chunk, n);
    }
    return 0;
}

static int write_page(const char *path, const struct buf *page)
{
    FILE *f = fopen(path, "we");
    bool good = f != NULL && fwrite(page->data, 1, page->len, f) == page->len;

    if (f == NULL || fclose(f) != 0 || !good) {
        perror(path);
        return 1;
    }
    return 0;
}

/* Says the first line that differs. */
static int compare(const char *path, const char *got, const char *want)
{
    unsigned line = 1;

    for (; *got != '\0' && *got == *want; got++, want++) {
        line += *got == '\n';
    }
    if (*got == *want) {
        return 0;
    }
    (void)fprintf(stderr, "%s:%u: is not what the tables say; run compose-doc --write %s\n", path,
                  line, path);
    return 1;
}

int main(int argc, char **argv)
{
    auto_buf struct buf have = {0}, want = {0};
    bool write = argc == 3 && strcmp(argv[1], "--write") == 0;
    const char *path = argv[argc - 1], *cut;

    if (argc != 2 && !write) {
        (void)fprintf(stderr, "usage: compose-doc [--write] FILE\n");
        return 2;
    }
    if (read_page(path, &have) < 0) {
        return 1;
    }
    cut = strstr(buf_text(&have), marker);
    if (cut == NULL) {
        (void)fprintf(stderr, "%s: has no line \"%.*s\"\n", path, (int)strlen(marker) - 1, marker);
        return 1;
    }
    buf_append(&want, have.data, (size_t)(cut - have.data) + strlen(marker));
    for (unsigned i = 0; i < compose_table_count; i++) {
        put_object(&want, compose_table_all[i]);
    }
    return write ? write_page(path, &want) : compare(path, buf_text(&have), buf_text(&want));
}
