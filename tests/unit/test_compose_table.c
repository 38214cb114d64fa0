// SPDX-License-Identifier: Apache-2.0
/* The tables have no holes: sorted, complete, every field exists, every key of the specification is
 * there, and what a change restarts follows from where the field lives. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_object.h"

static const struct compose_object *named(const char *name)
{
    const struct compose_row *volumes = compose_object_find(&compose_table_mount, "volume");
    const struct {
        const char *name;
        const struct compose_object *object;
    } rows[] = {
        {"top", &compose_table_top},
        {"service", &compose_table_service},
        {"healthcheck", &compose_table_healthcheck},
        {"port", &compose_table_port},
        {"mount", &compose_table_mount},
        {"mount.bind", compose_object_find(&compose_table_mount, "bind")->object},
        {"mount.volume", volumes->object},
        {"mount.tmpfs", compose_object_find(&compose_table_mount, "tmpfs")->object},
        {"depend", &compose_table_depend},
        {"deploy", &compose_table_deploy},
        {"resources", &compose_table_resources},
        {"limits", &compose_table_limits},
        {"reservations", &compose_table_reservations},
        {"placement", &compose_table_placement},
        {"restart_policy", &compose_table_restart_policy},
        {"volume", &compose_table_volume},
        {"network", &compose_table_network},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return rows[i].object;
        }
    }
    return NULL;
}

START_TEST(every_key_of_the_specification)
{
    auto_fclose FILE *file = fopen(WHERRY_FIXTURES "/compose_keys.txt", "re");
    char line[200];
    unsigned n = 0;

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *key = strchr(line, ' ');

        if (line[0] == '#') {
            continue;
        }
        *key++ = '\0';
        key[strcspn(key, "\n")] = '\0';
        ck_assert_msg(named(line) != NULL, "no table for %s", line);
        ck_assert_msg(compose_object_find(named(line), key) != NULL, "no row for %s of %s", key,
                      line);
        n++;
    }
    ck_assert_uint_gt(n, 150);
}
END_TEST

static void check_row(const struct compose_object *object, const struct compose_row *row)
{
    bool in_container;

    ck_assert_msg(row->key[0] != '\0' && row->doc != NULL && row->doc[0] != '\0',
                  "%s of %s has no words", row->key, object->name);
    if (row->status != COMPOSE_HONOURED) {
        ck_assert_msg(row->decode == NULL && row->field == NULL && !row->required,
                      "%s of %s is not honoured, but decoded", row->key, object->name);
        return;
    }
    ck_assert_msg(row->decode != NULL, "%s of %s is not decoded", row->key, object->name);
    ck_assert_msg(row->harmless == NULL, "%s of %s", row->key, object->name);
    if (row->field == NULL) {
        ck_assert_msg(row->object != NULL, "%s of %s goes nowhere", row->key, object->name);
        return;
    }
    ck_assert_msg(compose_object_describe(object->message, row->field) != NULL,
                  "%s of %s: there is no field %s", row->key, object->name, row->field);
    if (object->message == &wherry__spec__service__descriptor) {
        in_container = strncmp(row->field, "container.", 10) == 0;
        ck_assert_msg(row->restarts == in_container, "%s of %s: restarts", row->key, object->name);
    }
}

START_TEST(no_holes)
{
    for (unsigned i = 0; i < compose_table_count; i++) {
        const struct compose_object *object = compose_table_all[i];

        ck_assert_ptr_nonnull(object->name);
        ck_assert_ptr_nonnull(object->message);
        for (unsigned k = 0; k < object->n; k++) {
            check_row(object, &object->rows[k]);
            ck_assert_msg(k == 0 || strcmp(object->rows[k - 1].key, object->rows[k].key) < 0,
                          "%s of %s is not sorted", object->rows[k].key, object->name);
        }
    }
}
END_TEST

/* Every choice is complete: each value of the enum has a word. */
START_TEST(choices_are_complete)
{
    for (unsigned i = 0; i < compose_table_count; i++) {
        const struct compose_object *object = compose_table_all[i];

        for (unsigned k = 0; k < object->n; k++) {
            const struct compose_row *row = &object->rows[k];
            const ProtobufCEnumDescriptor *type;
            unsigned words = 0;

            if (row->words == NULL) {
                continue;
            }
            type = compose_object_describe(object->message, row->field)->descriptor;
            for (const struct compose_word *w = row->words; w->word != NULL; w++, words++) {
                ck_assert_ptr_nonnull(protobuf_c_enum_descriptor_get_value(type, w->value));
            }
            ck_assert_msg(words == type->n_values, "%s of %s", row->key, object->name);
        }
    }
}
END_TEST

/* What would leave a container less isolated than its file says is never a mere warning. */
START_TEST(isolation_is_refused)
{
    static const char *const keys[] = {"cgroup_parent", "isolation",    "profiles",
                                       "runtime",       "security_opt", "userns_mode"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct compose_row *row = compose_object_find(&compose_table_service, keys[i]);

        ck_assert_int_eq(row->status, COMPOSE_REFUSED);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compose_table");
    TCase *tables = tcase_create("tables");
    SRunner *runner;
    int failed;

    tcase_add_test(tables, every_key_of_the_specification);
    tcase_add_test(tables, no_holes);
    tcase_add_test(tables, choices_are_complete);
    tcase_add_test(tables, isolation_is_refused);
    suite_add_tcase(suite, tables);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
