/* Parts of the manual pages in mdoc, the language of manuals: see mdoc(7). */
#include "cli/reference.h"
#include "conf/settings.h"
#include "conf/value.h"

#include <string.h>

/* A line of text: nothing in it is a request or an escape. An ellipsis is three dots, since some
 * terminals lack it. */
static void manual_add_text(const char *s, struct buf *out)
{
    static const char ellipsis[] = "…";
    if (*s == '.' || *s == '\'')
        buf_adds(out, "\\&");
    for (; *s; s++) {
        if (strncmp(s, ellipsis, sizeof ellipsis - 1) == 0) {
            buf_adds(out, "...");
            s += sizeof ellipsis - 2;
        } else if (*s == '\\') {
            buf_adds(out, "\\e");
        } else {
            buf_addc(out, *s);
        }
    }
}

static void manual_add_line(const char *s, struct buf *out)
{
    manual_add_text(s, out);
    buf_addc(out, '\n');
}

static void manual_add_option(const struct cli_option *o, struct buf *out)
{
    buf_addf(out, "Fl -%s", o->name);
    if (o->value) {
        buf_adds(out, " Ar ");
        manual_add_text(o->value, out);
    }
    buf_addc(out, '\n');
}

void manual_head(const struct command *c, struct buf *out)
{
    buf_addf(out, ".Sh NAME\n.Nm trueup-%s\n.Nd ", c->name);
    manual_add_line(c->summary, out);
    buf_addf(out, ".Sh SYNOPSIS\n.Nm trueup %s\n", c->name);
    for (const struct cli_option *o = c->options; o->name; o++) {
        buf_adds(out, ".Op ");
        manual_add_option(o, out);
    }
    buf_adds(out, ".Op Ar options\n");
    if (c->args[0])
        manual_add_line(c->args, out);
}

static void manual_add_options(const struct cli_option *o, struct buf *out)
{
    for (; o->name; o++) {
        buf_adds(out, ".It ");
        manual_add_option(o, out);
        manual_add_line(o->help, out);
    }
}

void manual_options(const struct command *c, struct buf *out)
{
    if (!c->options->name) {
        buf_adds(out, "None of its own.\n");
        return;
    }
    buf_adds(out, ".Bl -tag -width Ds\n");
    manual_add_options(c->options, out);
    buf_adds(out, ".El\n");
}

void manual_common(struct buf *out)
{
    buf_adds(out, ".Bl -tag -width Ds\n.It Fl c Ar FILE\n"
                  "settings (default ./trueup.yaml, then /etc/trueup/trueup.yaml)\n");
    manual_add_options(cli_common, out);
    buf_adds(out, ".El\n");
}

void manual_commands(struct buf *out)
{
    buf_adds(out, ".Bl -tag -width Ds\n");
    for (const struct command *c = commands; c->name; c++) {
        if (c->hidden)
            continue;
        buf_addf(out, ".It Cm %s", c->name);
        if (c->args[0]) {
            buf_adds(out, " No ");
            manual_add_text(c->args, out);
        }
        buf_addc(out, '\n');
        manual_add_line(c->summary, out);
    }
    buf_adds(out, ".El\n");
}

static void setting_default(const struct setting *row, struct buf *out)
{
    if (row->required)
        buf_addf(out, "Required%s%s.\n", row->derived ? "; " : "",
                 row->derived ? row->derived : "");
    else if (row->def || row->derived)
        buf_addf(out, "Default: %s.\n", row->def ? row->def : row->derived);
}

static void setting_names(const struct setting *row, struct buf *out)
{
    struct buf path = BUF_INIT(256);
    if (!kind_is_scalar(row->kind))
        return;
    for (const char *s = row->path; *s; s++) {
        buf_addc(&path, *s);
        if (s[0] == '[' && s[1] == ']')
            buf_addc(&path, 'N');
    }
    buf_adds(out, ".Ev ");
    setting_env_name(buf_str(&path), out);
    if (row->env)
        buf_addf(out, " , %s", row->env);
    if (row->first)
        buf_addf(out, " , %s", row->first);
    buf_adds(out, " .\n");
    buf_free(&path);
}

void manual_settings(struct buf *out)
{
    buf_adds(out, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < n_settings; i++) {
        const struct setting *row = &settings[i];
        struct buf expected = BUF_INIT(1024);
        if (row->kind == &kind_section)
            continue;
        kind_expected(row, &expected);
        buf_addf(out, ".It Ic %s\n", row->path);
        manual_add_text(row->help, out);
        buf_adds(out, ".\nA value is ");
        manual_add_text(buf_str(&expected), out);
        buf_adds(out, ".\n");
        setting_default(row, out);
        setting_names(row, out);
        buf_free(&expected);
    }
    buf_adds(out, ".El\n");
}
