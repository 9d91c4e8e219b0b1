/* The reference of all settings as Markdown, as docs/configuration.md has it. */
#ifndef TEST_CONF_REFERENCE_H
#define TEST_CONF_REFERENCE_H

#include "base/buf.h"
#include "conf/settings.h"
#include "conf/value.h"

#include <string.h>

enum { REFERENCE_PATH = 200, REFERENCE_VALUES = 1024 };

static void reference_default(const struct setting *row, struct buf *out)
{
    const char *tick = row->derived && strchr(row->derived, '<') ? "`" : "";
    if (row->required)
        buf_addf(out, "required%s", row->derived ? "; " : "");
    if (row->def)
        buf_addf(out, "`%s`", row->def);
    else if (row->derived)
        buf_addf(out, "%s%s%s", tick, row->derived, tick);
    else if (!row->required)
        buf_adds(out, "none");
}

static void reference_names(const struct setting *row, struct buf *out)
{
    if (!kind_is_scalar(row->kind))
        return;
    buf_addc(out, '`');
    struct buf path = BUF_INIT(REFERENCE_PATH);
    for (const char *s = row->path; *s; s++) {
        buf_addc(&path, *s);
        if (s[0] == '[' && s[1] == ']')
            buf_addc(&path, 'N');
    }
    setting_env_name(buf_str(&path), out);
    buf_addc(out, '`');
    if (row->env)
        buf_addf(out, ", `%s`", row->env);
    if (row->first)
        buf_addf(out, ", `%s`%s", row->first, row->first_seconds ? " (seconds)" : "");
    buf_free(&path);
}

/* A bar would end the cell. */
static void reference_cell(const char *text, struct buf *out)
{
    for (; *text; text++) {
        buf_adds(out, *text == '|' ? "\\" : "");
        buf_addc(out, *text);
    }
}

static void conf_write_reference(struct buf *out)
{
    buf_adds(out, "| setting | what it is | values | default | environment |\n"
                  "|---|---|---|---|---|\n");
    for (size_t i = 0; i < n_settings; i++) {
        const struct setting *row = &settings[i];
        struct buf expected = BUF_INIT(REFERENCE_VALUES);
        if (row->kind == &kind_section) {
            buf_free(&expected);
            continue;
        }
        kind_expected(row, &expected);
        buf_addf(out, "| `%s` | ", row->path);
        reference_cell(row->help, out);
        buf_adds(out, " | ");
        reference_cell(buf_str(&expected), out);
        buf_adds(out, " | ");
        reference_default(row, out);
        buf_adds(out, " | ");
        reference_names(row, out);
        buf_adds(out, " |\n");
        buf_free(&expected);
    }
}

#endif
