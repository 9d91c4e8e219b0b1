#include "cli/naming.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/terms.h"
#include "eth/abi.h"
#include "rpc/rpc.h"

#include <string.h>

enum { SYMBOL_MAX = 64 };

/* symbol() answers a string (offset, length, bytes) or, in old tokens, a bytes32. "" when neither.
 */
static void decode_symbol(const uint8_t *data, size_t n, char ret[SYMBOL_MAX + 1])
{
    uint64_t length;
    const uint8_t *text = data;
    size_t most = n < 32 ? n : 32;
    if (n >= 64 && abi_get_u64(data + 32, &length) && length <= n - 64) {
        text = data + 64;
        most = (size_t)length;
    }
    size_t k = 0;
    while (k < most && k < SYMBOL_MAX && text[k] != 0)
        k++;
    memcpy(ret, text, k);
    ret[k] = '\0';
}

static int ask_symbol(struct rpc *node, const address *token, char ret[SYMBOL_MAX + 1],
                      struct err *err)
{
    static const uint8_t symbol_selector[4] = {0x95, 0xd8, 0x9b, 0x41};
    struct header head;
    struct rpc_view_answer a;
    bool found = false;
    ret[0] = '\0';
    int rc = rpc_header_tag(node, TAG_LATEST, &head, &found, err);
    struct rpc_view view = {.to = token, .data = symbol_selector, .data_len = 4, .at = &head.at};
    if (rc == 0 && found && rpc_view(node, &view, &a, NULL) == 0) {
        decode_symbol(a.data, a.len, ret);
        mem_free(a.data);
    }
    return rc < 0 ? err_wrap(err, "the token's symbol cannot be asked for") : 0;
}

/* What answers neither symbol() nor balanceOf() is no token: nothing would ever come of it. */
static int must_be_a_token(struct rpc *node, const struct conf_term *term, struct err *err)
{
    char text[ADDRESS_TEXT];
    bool silent = false;
    int rc = term_is_silent(node, &term->contract, term->view.selector, &silent, err);
    if (rc < 0 || !silent)
        return rc;
    address_checksum(&term->contract, text);
    err_set(err, ERR_USAGE,
            "%s answers neither symbol() nor balanceOf(): it is no token on this chain", text);
    return err_hint(err, "is the address right, and is the node one of the token's chain?");
}

int name_balances(struct conf *conf, struct err *err)
{
    char symbol[SYMBOL_MAX + 1];
    struct rpc *node;
    if (conf->n_balances != 1 || conf->balances[0].name)
        return 0;
    const struct conf_term *term = &conf->balances[0].terms[0];
    if (rpc_open(conf, &node, err) < 0)
        return err_wrap(err, "the token's symbol cannot be asked for");
    rpc_patience(node, CLI_PATIENCE_MS);
    int rc = ask_symbol(node, &term->contract, symbol, err);
    if (rc == 0 && !symbol[0])
        rc = must_be_a_token(node, term, err);
    rpc_close(node);
    if (rc == 0)
        conf_name_balance(conf, symbol);
    return rc;
}
