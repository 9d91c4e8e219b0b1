#include "base/json_write.h"
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>

static void say_json(const char *about, const char *state, const char *text)
{
    struct buf out = BUF_INIT(8192);
    json_begin(&out, NULL, '{');
    json_add_text(&out, "about", about);
    json_add_text(&out, "state", state);
    json_add_text(&out, "text", text);
    json_end(&out, '}');
    puts(buf_str(&out));
    buf_free(&out);
}

void doctor_say(struct findings *f, enum grade grade, const char *fmt, ...)
{
    static const char *const names[] = {"ok", "note", "bad"};
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    f->n_bad += grade == BAD;
    if (f->json)
        say_json(f->about, names[grade], text);
    else
        printf("  %s%-5s%s %s\n", f->colour ? colours[grade] : "", names[grade],
               f->colour ? "\033[0m" : "", text);
}

void doctor_advise(struct findings *f, const char *fmt, ...)
{
    va_list ap;
    if (f->n_advice == ADVICE)
        return;
    va_start(ap, fmt);
    vsnprintf(f->advice[f->n_advice++], LINE, fmt, ap);
    va_end(ap);
}

void doctor_title(struct findings *f, const char *about, const char *detail)
{
    f->about = about;
    if (!f->json)
        printf("%s  %s\n", about, detail);
}

int doctor_conclude(struct findings *f)
{
    int status = f->numbers_have_gaps ? 2
                 : !f->any_node       ? 4
                 : f->bad_store       ? 5
                 : f->silent_term     ? 1
                                      : 0;
    static const char *const ends[] = {[0] = "`trueup run` can work here",
                                       [1] =
                                           "`trueup run` would find nothing: a term has no answer",
                                       [2] = ("`trueup run` cannot work: the chain's block "
                                              "numbers have gaps"),
                                       [4] = "`trueup run` cannot work: no endpoint serves",
                                       [5] = "`trueup run` cannot work: the store refuses"};
    const char *end = ends[status];
    if (f->json) {
        for (size_t i = 0; i < f->n_advice; i++)
            say_json("advice", "note", f->advice[i]);
        say_json("run", status ? "bad" : "ok", end);
        return status;
    }
    if (f->n_advice)
        puts("what to change");
    for (size_t i = 0; i < f->n_advice; i++)
        printf("  %zu. %s\n", i + 1, f->advice[i]);
    puts(end);
    return status;
}
