/*
 * trueup doctor: can `run` work here, and how well? The store is looked at, each endpoint is asked
 * by itself what it can do, and what to change is said last, in plain words.
 */
#include "cli/doctor.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/naming.h"
#include "cli/terminal.h"
#include "proc/stop.h"

#include <unistd.h>

const struct cli_option doctor_options[] = {{0}};

static void look_at_endpoints(struct findings *f, const struct conf *conf)
{
    size_t n = conf->chain.n_endpoints;
    uint64_t best = 0;
    struct patient *list = mem_zero(n + 1, sizeof *list);
    for (size_t i = 0; i < n && !stop_asked(); i++)
        doctor_meet(conf, i, &list[i]);
    /* One who never answers may have taken long: heads are asked again, at one go. */
    for (size_t i = 0; i < n; i++) {
        doctor_ask_head(&list[i]);
        if (list[i].head.at.number > best)
            best = list[i].head.at.number;
    }
    for (size_t i = 0; i < n && !stop_asked(); i++)
        doctor_endpoint(f, &list[i], conf, i, best);
    for (size_t i = 0; i < n; i++)
        doctor_leave(&list[i]);
    mem_free(list);
}

int command_doctor(struct cli *cli)
{
    static struct findings f = {.about = "config"};
    struct err err = {0};
    struct conf *conf = cli_conf(cli, false);
    if (!conf)
        return 2;
    stop_install();
    f.json = cli_has(cli, "json");
    f.colour = terminal_has_colours(STDOUT_FILENO) && !f.json;
    if (conf->chain.n_endpoints == 0)
        doctor_advise(&f,
                      "no endpoint is configured: give --rpc URL, or chain.endpoints in a file");
    else if (name_balances(conf, &err) < 0)
        doctor_say(&f, NOTE, "%s", err.text);
    doctor_store(&f, conf);
    f.bad_store = f.n_bad > 0;
    look_at_endpoints(&f, conf);
    conf_free(conf);
    return doctor_conclude(&f);
}
