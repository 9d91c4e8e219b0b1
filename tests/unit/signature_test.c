/* Against viem's selectors and topics; every way to be wrong is refused at its column. */
#include "eth/signature.h"
#include "vectors.h"

static int parse(const char *kind, const char *s, struct signature *ret, struct err *err)
{
    return strcmp(kind, "event") == 0 ? event_parse(s, strlen(s), ret, err)
                                      : view_parse(s, strlen(s), ret, err);
}

static void check_row(char *fields[], int n)
{
    assert_int_equal(n, 4);
    struct signature sig;
    struct err err = {0};
    char hash[HASH_TEXT];
    if (parse(fields[0], fields[1], &sig, &err) < 0)
        fail_msg("%s: %s", fields[1], err.text);
    assert_string_equal(sig.canonical, fields[2]);
    hash_text(&sig.hash, hash);
    assert_string_equal(hash, fields[3]);
    assert_memory_equal(sig.selector, sig.hash.b, 4);
}

static void selectors_and_topics(void **state)
{
    (void)state;
    assert_int_equal(vector_rows("signatures.txt", check_row), 35);
}

static void parts(void **state)
{
    (void)state;
    struct signature sig;
    const char *s = " event  Transfer ( address indexed from,address indexed\tto , uint value ) ";
    assert_int_equal(event_parse(s, strlen(s), &sig, NULL), 0);
    assert_string_equal(sig.name, "Transfer");
    assert_int_equal(sig.n_params, 3);
    assert_string_equal(sig.params[2].type, "uint256");
    assert_true(sig.params[0].indexed && sig.params[1].indexed && !sig.params[2].indexed);
    assert_int_equal(signature_find(&sig, "to"), 1);
    assert_int_equal(signature_find(&sig, "To"), -1);
    assert_int_equal(signature_find(&sig, ""), -1);

    s = "function getDelegatorsList(address sp) external view returns (address[] memory list)";
    assert_int_equal(view_parse(s, strlen(s), &sig, NULL), 0);
    assert_string_equal(sig.canonical, "getDelegatorsList(address)");
    assert_string_equal(sig.returns, "address[]");
    s = "balanceOf(address)returns(uint)";
    assert_int_equal(view_parse(s, strlen(s), &sig, NULL), 0);
    assert_string_equal(sig.returns, "uint256");
    s = "event(address)"; /* a keyword only where a name follows */
    assert_int_equal(event_parse(s, strlen(s), &sig, NULL), 0);
    assert_string_equal(sig.name, "event");
    s = "f(uint256[2][],bytes32 [ 3 ])"; /* blanks around brackets are no part of the type */
    if (view_parse(s, strlen(s), &sig, NULL) == 0)
        assert_string_equal(sig.canonical, "f(uint256[2][],bytes32[3])");
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *text, *expected;
    } bad[] = {
        {"view", "", "column 1: expected a name, found the end"},
        {"view", "(address)", "column 1: expected a name, found \"(\""},
        {"view", "1f(address)", "column 1: expected a name, found \"1f\""},
        {"view", "balanceOf", "column 10: expected \"(\", found the end"},
        {"view", "balanceOf address", "column 11: expected \"(\", found \"address\""},
        {"view", "balanceOf(address", "column 18: expected \",\" or \")\", found the end"},
        {"view", "balanceOf(address))",
         "column 19: expected the end of the signature, found \")\""},
        {"view", "balanceOf(address);",
         "column 19: expected the end of the signature, found \";\""},
        {"view", "balanceOf(adress)", "column 11: unknown type \"adress\""},
        {"view", "balanceOf(,)", "column 11: expected a type, found \",\""},
        {"view", "balanceOf(address,)", "column 19: expected a type, found \")\""},
        {"view", "f(uint7)", "column 3: unknown type \"uint7\""},
        {"view", "f(uint0)", "column 3: unknown type \"uint0\""},
        {"view", "f(uint264)", "column 3: unknown type \"uint264\""},
        {"view", "f(uint08)", "column 3: unknown type \"uint08\""},
        {"view", "f(int12)", "column 3: unknown type \"int12\""},
        {"view", "f(bytes0)", "column 3: unknown type \"bytes0\""},
        {"view", "f(bytes33)", "column 3: unknown type \"bytes33\""},
        {"view", "f(byte)", "column 3: unknown type \"byte\""},
        {"view", "f(Address)", "column 3: unknown type \"Address\""},
        {"view", "f(uint256[)", "column 11: expected \"]\", found \")\""},
        {"view", "f(uint256[0])", "column 11: bad array length \"0\""},
        {"view", "f(uint256[-1])", "column 11: expected \"]\", found \"-\""},
        {"view", "f(uint256[99999999999999999999])", "column 11: bad array length"},
        {"view", "f((address,bool)[])", "column 3: tuples are not supported"},
        {"view", "f(address, tuple x)", "column 12: tuples are not supported"},
        {"view", "f(address indexed a)", "column 11: \"indexed\" is for events, not for views"},
        {"view", "f(address a, uint a)", "column 19: duplicate name \"a\""},
        {"view", "f(address memory)  returns", "column 27: expected \"(\", found the end"},
        {"view", "f() returns ()", "column 14: expected a type, found \")\""},
        {"view", "f() returns (uint256, uint256)", "column 21: a view with more than one return"},
        {"view", "f() returns (uint256) x", "column 23: expected the end of the signature, found"},
        {"view", "f() payable", "column 5: expected the end of the signature, found \"payable\""},
        {"view", "f(uint256 view)", "column 11: not usable as a name: \"view\""},
        {"view", "f(address \xc3\xa9)", "column 11: expected \",\" or \")\", found"},
        {"event", "E(address a, address b, address a)", "column 33: duplicate name \"a\""},
        {"event", "E(uint indexed a,uint indexed b,uint indexed c,uint indexed d)",
         "column 48: more than 3 indexed parameters"},
        {"event", "E(indexed address a)", "column 3: unknown type \"indexed\""},
        {"event", "E(address indexed indexed)", "column 19: not usable as a name: \"indexed\""},
        {"event", "E(address) returns (bool)", "column 12: expected the end of the signature"},
        {"event", "E(address a) anonymous", "column 14: an anonymous event has no topic"},
        {"event",
         "E(uint,uint,uint,uint,uint,uint,uint,uint,uint,uint,uint,uint,uint,uint,uint,"
         "uint,uint)",
         "column 83: more than 16 parameters"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct signature sig = {.n_params = 99};
        struct err err = {0};
        if (parse(bad[i].kind, bad[i].text, &sig, &err) == 0)
            fail_msg("accepted %s", bad[i].text);
        if (strncmp(err.text, bad[i].expected, strlen(bad[i].expected)) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", bad[i].text, err.text, bad[i].expected);
        assert_int_equal(err.kind, ERR_USAGE);
        assert_int_equal(sig.n_params, 99);
    }
}

/* name_len letters, then params times "uint,". */
static int parse_long(size_t name_len, int params, const char *type, struct err *err)
{
    char s[2000] = "";
    struct signature sig;
    memset(s, 'n', name_len);
    strcat(s, "(");
    for (int i = 0; i < params; i++) {
        strcat(s, i ? "," : "");
        strcat(s, type);
    }
    strcat(s, ")");
    return view_parse(s, strlen(s), &sig, err);
}

static void ceilings(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(parse_long(63, 16, "uint", &err), 0);
    assert_int_equal(parse_long(64, 1, "uint", &err), -1);
    assert_non_null(strstr(err.text, "longer than 63"));
    assert_int_equal(parse_long(40, 16, "uint[1][1][1]", &err), -1); /* too long once canonical */
    assert_non_null(strstr(err.text, "canonical form"));
    assert_int_equal(parse_long(1, 16, "uint256[11111111111]", &err), -1);
    assert_non_null(strstr(err.text, "longer than 300"));
    assert_int_equal(
        parse_long(1, 1, "uint[1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1]", &err), 0);
    assert_int_equal(
        parse_long(1, 1, "uint[1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1]", &err),
        -1);
    assert_non_null(strstr(err.text, "type is too long"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_and_topics),
        cmocka_unit_test(parts),
        cmocka_unit_test(errors),
        cmocka_unit_test(ceilings),
    };
    return cmocka_run_group_tests_name("signature", tests, NULL, NULL);
}
