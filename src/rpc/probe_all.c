/*
 * Everything an endpoint can do, for who wants to know it: doctor. What reading needs is found by
 * probe.c and read_probe.c when it is needed.
 *
 * Each question has an answer that only an endpoint with the ability gives; words that say "not
 * now" teach nothing and leave it unknown.
 */
#include "base/err.h"
#include "rpc/rpc_internal.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* PUSH1 2a PUSH1 0 MSTORE PUSH1 20 PUSH1 0 RETURN: whoever runs it answers 42. */
#define ANSWER_42 "602a60005260206000f3"
static const char word_42[] = "0x000000000000000000000000000000000000000000000000000000000000002a";

struct question {
    const char *method;
    const char *params; /* %s: an argument, if it wants one */
    bool (*yes)(const struct json *result);
    size_t place; /* of the capability in endpoint_abilities */
};

static bool is_42(const struct json *result)
{
    const char *text = json_str(result);
    return text && strcmp(text, word_42) == 0;
}

static bool is_code(const struct json *result)
{
    const char *text = json_str(result);
    return text && strlen(text) > 2;
}

static bool is_header(const struct json *result)
{
    struct header h;
    bool found = false;
    return header_from_json(result, &h, &found, NULL) == 0 && found;
}

static bool is_list(const struct json *result)
{
    return json_is_array(result);
}

#define PLACE(field) offsetof(struct endpoint_abilities, field)
static const struct question questions[] = {
    {"eth_call",
     "[{\"to\":\"0x00000000000000000000000000000000000002aa\",\"data\":\"0x\"},\"latest\","
     "{\"0x00000000000000000000000000000000000002aa\":{\"code\":\"0x" ANSWER_42 "\"}}]",
     is_42, PLACE(state_override)},
    {"eth_call", "[{\"data\":\"0x" ANSWER_42 "\"},\"latest\"]", is_42, PLACE(create)},
    {"eth_getCode", "[\"%s\",\"latest\"]", is_code, PLACE(multicall3)},
    {"eth_getBlockByNumber", "[\"finalized\",false]", is_header, PLACE(finalized)},
    {"eth_getBlockByNumber", "[\"safe\",false]", is_header, PLACE(safe)},
};

static bool tells_nothing(enum fault f)
{
    return f == FAULT_RATE || f == FAULT_BILLING || f == FAULT_DOWN || f == FAULT_TIME ||
           f == FAULT_GARBLED;
}

/* −1: nobody answered. */
static int ask(struct rpc *n, struct endpoint *e, const char *method, const char *params,
               bool (*yes)(const struct json *), enum capability *ret, struct err *err)
{
    struct rpc_request q = {.method = method,
                            .params = params,
                            .params_len = strlen(params),
                            .straight = RPC_STRAIGHT(FAULT_BEHIND) | RPC_STRAIGHT(FAULT_UNKNOWN),
                            .only = e};
    struct json *doc = NULL;
    const struct json *result = NULL;
    struct fault_info fault;
    if (rpc_call(n, &q, &doc, &result, &fault, err) < 0) {
        if (err->kind == ERR_STOPPED || err->kind == ERR_CHAIN || tells_nothing(fault.fault))
            return -1;
        *ret = CAP_NO;
        return 0;
    }
    *ret = yes(result) ? CAP_YES : CAP_NO;
    json_free(doc);
    return 0;
}

static int ask_logs(struct rpc *n, struct endpoint *e, struct err *err)
{
    char params[160], hash[HASH_TEXT];
    hash32 at;
    if (endpoint_latest(n, e, &at, err) < 0)
        return -1;
    hash_text(&at, hash);
    /* Of a contract that is none: an empty list wherever a list is given. */
    snprintf(params, sizeof params,
             "[{\"blockHash\":\"%s\",\"address\":"
             "\"0x00000000000000000000000000000000000002aa\"}]",
             hash);
    return ask(n, e, "eth_getLogs", params, is_list, &e->abilities.logs_by_hash, err);
}

static int ask_client(struct rpc *n, struct endpoint *e, struct err *err)
{
    struct rpc_request q = {
        .method = "web3_clientVersion", .params = "[]", .params_len = 2, .only = e};
    struct json *doc = NULL;
    const struct json *result = NULL;
    struct fault_info fault;
    if (rpc_call(n, &q, &doc, &result, &fault, err) < 0)
        return err->kind == ERR_STOPPED || tells_nothing(fault.fault) ? -1 : 0;
    const char *name = json_str(result);
    if (name)
        endpoint_scrub(e, name, e->abilities.client, sizeof e->abilities.client);
    json_free(doc);
    return 0;
}

int endpoint_probe_all(struct rpc *n, struct endpoint *e, struct err *err)
{
    char multicall[ADDRESS_TEXT], params[200];
    struct err why = {0};
    address_text(&n->conf->chain.multicall, multicall);
    if (e->abilities.pins_hash == CAP_UNKNOWN && endpoint_probe(n, e, err) < 0)
        return -1;
    int rc = ask_client(n, e, &why);
    for (size_t i = 0; rc == 0 && i < sizeof questions / sizeof questions[0]; i++) {
        const struct question *q = &questions[i];
        enum capability *place = (void *)((char *)&e->abilities + q->place);
        const char *percent = strstr(q->params, "%s");
        const char *text = q->params;
        if (percent) {
            snprintf(params, sizeof params, "%.*s%s%s", (int)(percent - q->params), q->params,
                     multicall, percent + 2);
            text = params;
        }
        if (*place == CAP_UNKNOWN)
            rc = ask(n, e, q->method, text, q->yes, place, &why);
    }
    if (rc == 0 && e->abilities.logs_by_hash == CAP_UNKNOWN)
        rc = ask_logs(n, e, &why);
    if (rc == 0)
        return 0;
    err_set(err, why.kind, "%s", why.text);
    return err_wrap(err, "probing endpoint \"%s\"", endpoint_name(e));
}
