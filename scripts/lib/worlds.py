"""The program lives through the integration tests while something looks on: AddressSanitizer with
UndefinedBehaviorSanitizer, ThreadSanitizer, or valgrind's memcheck.

Whatever is found, in whichever process, is in a file of its own, and fails the run: a report in a log
may be looked over, and the exit status of a worker is nobody's. A test that fails fails it as well."""

import contextlib
import os
import re
import shlex
import tempfile
from collections import Counter
from pathlib import Path

from build import ROOT, build

ASAN = {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1"}
TSAN = {"TSAN_OPTIONS": f"suppressions={ROOT}/tests/tsan.supp:second_deadlock_stack=1"}

# What touches most of the program in the least time, and does not need the machine to itself.
PART = ("test_equality.py::test_a_silent_change_is_found_by_the_sweep",
        "test_equality.py::test_a_wallet_recovers_from_quarantine",
        "test_follow.py::test_reorg[3-True-postgres]", "test_follow.py::test_reorg[10-True-sqlite]",
        "test_live.py::test_dropped_connections_come_back",
        "test_web_api.py::test_rows_one_by_one_and_many",
        "test_web_api.py::test_a_connection_that_was_cut_costs_nobody_an_answer",
        "test_store_faults.py::test_restarted", "test_processes.py::test_hangup_reads_the_settings_again",
        "test_pass.py")

# Where threads are: the clerks of web, the writers of a pass and of the jobs that are like one.
THREADS = ("test_web_api.py", "test_web_hostile.py", "test_web_docs.py", "test_pass.py", "test_sweep.py",
           "test_audit.py", "test_backfill.py", "test_drop_in.py", "test_snapshot.py",
           "test_store_faults.py", "test_commands.py", "test_first_user.py", "test_found_by_chaos.py",
           "test_equality.py", "test_processes.py")

# Every process and every command, on both databases where they have one. Valgrind takes twenty times as
# long, and half a minute for each daemon, so it is not all.
EVERY_PROCESS = (
    "test_equality.py::test_a_silent_change_is_found_by_the_sweep",
    "test_equality.py::test_a_wallet_recovers_from_quarantine",
    "test_follow.py::test_reorg[3-True-postgres]", "test_follow.py::test_reorg[10-True-sqlite]",
    "test_live.py::test_a_reorg_is_pushed", "test_live.py::test_dropped_connections_come_back",
    "test_web_api.py::test_rows_one_by_one_and_many",
    "test_web_api.py::test_changes_arrive_as_they_happen_and_resume_without_a_gap",
    "test_web_api.py::test_status_and_metrics_say_the_same",
    "test_supervisor.py::test_restarts_come_slower_and_slower",
    "test_supervisor.py::test_the_store_goes_away_and_comes_back",
    "test_processes.py::test_hangup_reads_the_settings_again",
    "test_store_faults.py::test_restarted",
    "test_pass.py::test_a_second_run_starts_at_the_learnt_sizes",
    "test_drift.py::test_a_rebase_is_a_change_without_an_event",
    "test_fan_out.py::test_rewards_reach_every_delegator_within_a_block",
    "test_reread_final.py::test_marks_are_left_and_read_again",
    "test_readers.py::test_all_readers_leave_the_same_table[multicall3-None-sqlite]",
    "test_readers.py::test_all_readers_leave_the_same_table[create-no-revert-data-sqlite]",
    "test_commands.py::test_read", "test_commands.py::test_sweep", "test_commands.py::test_wallets",
    "test_commands.py::test_migrate_and_reset_chain", "test_commands.py::test_help",
    "test_commands.py::test_exit_1_failed", "test_commands.py::test_exit_2_configuration",
    "test_commands.py::test_exit_5_store",
    "test_audit.py::test_what_is_wrong_and_what_that_says",
    "test_backfill.py::test_everybody_the_events_name_has_a_true_row",
    "test_snapshot.py::test_as_the_chain_was", "test_explain.py",
    "test_wallets_many.py::test_files_as_people_have_them",
    "test_wallets_many.py::test_sync_brings_whom_the_query_names",
    "test_doctor.py::test_doctors_exit_status_says_if_run_can_work",
    "test_doctor.py::test_doctor_looks_at_the_table",
    "test_doctor.py::test_status_in_words_in_colour_and_in_place",
    "test_config.py::test_a_good_file_is_ok",
    "test_config.py::test_show_says_values_and_origins_and_no_secret",
    "test_config.py::test_init_writes_a_file_that_checks_and_overwrites_nothing",
    "test_config.py::test_without_anything_it_says_what_to_give",
)
ROLES = {"run", "worker listen", "worker follow", "worker sweep", "worker web", "worker reload", "read",
         "sweep", "backfill", "audit", "snapshot", "explain", "wallets", "status", "doctor", "config",
         "migrate", "help"}

# What a sanitizer cannot tell from a fault of the program's own, and what does not go with one.
NOT_WATCHED = {
    "test_processes.py::test_a_sweep_that_breaks_leaves_the_subscription_alone":
        "overwrites the sweep's code and takes its memory away",
    "test_processes.py::test_one_that_breaks_again_and_again_is_parked": "SIGSEGV by hand",
    "test_supervisor.py::test_one_dies_the_other_does_not_notice": "SIGSEGV by hand",
    "test_secrets.py::test_a_daemon_in_every_trouble": "SIGSEGV by hand",
    "test_processes.py::test_the_supervisor_touches_nothing":
        "strace, and LeakSanitizer wants to trace the process itself",
    "test_reload.py::test_who_reads_them_shows_nothing":
        "strace, and LeakSanitizer wants to trace the process itself",
    "test_processes.py::test_web_knows_no_node":
        "reads all of a process's memory, of which a sanitizer's shadow is terabytes",
    "test_install.py::test_everything_is_in_its_place":
        "installs all that is built, and here only the program is; none is run",
}


@contextlib.contextmanager
def reports():
    with tempfile.TemporaryDirectory(prefix="trueup-reports-") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def live(run, tests, watcher, slowness, env=None, **how):
    """slowness: on a machine that has little else to do; who knows better says so."""
    env = {**(env or {}), "TRUEUP_TEST_WATCHED": watcher,
           "TRUEUP_TEST_SLOWNESS": os.environ.get("TRUEUP_TEST_SLOWNESS", slowness)}
    return run(tests, env=env, options=[f"--deselect={test}" for test in NOT_WATCHED], **how)


def sanitized(run, name, options, tests):
    """run(tests, **how): the tests of integration by file, see suites.by_file."""
    binary = build(name, targets=["src/trueup", "tests/tools/lenstool", "tests/tools/evmtool"]) / "src/trueup"
    with reports() as folder:
        env = {k: f"{v}:log_path={folder}/report" for k, v in options.items()}
        result = live(run, tests, "sanitizer", "4", env, binary=binary)
        for report in sorted(folder.iterdir()):
            result.fail(f"{name}: {report.name}\n{report.read_text(errors='replace')[:3000]}")
        return result


# ---- valgrind -----------------------------------------------------------------------------------

WRAPPER = """#!/bin/sh
# Workers are the program again, by /proc/self/exe, which under valgrind is valgrind itself.
export LD_PRELOAD={shim}
exec valgrind --trace-children=yes --log-file={folder}/report.%p --num-callers=30 --leak-check=full \\
    --show-leak-kinds=definite --errors-for-leak-kinds=definite {binary} "$@"
"""


def memcheck_found(text):
    """Whether a log of memcheck tells of anything: only that comes with a stack. One that was asked to
    end before it could hear of it ends with a stack, too."""
    text = re.sub(r"Process terminating with default action of signal (2|15) .*?\n==\d+== ?\n", "", text,
                  flags=re.DOTALL)
    return re.search(r"^==\d+==\s+(at|by) 0x", text, re.MULTILINE) is not None


def role(text):
    """What the process of a log was: a command, or a worker."""
    words = shlex.split(re.search(r"^==\d+== Command: (.*)$", text, re.MULTILINE).group(1))[1:]
    if not words or words[0].startswith("-"):
        return "help"
    return " ".join(words[:2] if words[0] == "worker" else words[:1])


def memcheck(run, tests, roles=ROLES):
    """roles: the processes that must have been seen, so that none is left out unnoticed."""
    binary = build("build") / "src/trueup"
    with reports() as folder:
        wrapper = folder / "trueup"
        wrapper.write_text(WRAPPER.format(shim=binary.parents[1] / "tests/tools/libselfexec.so",
                                          folder=folder, binary=binary))
        wrapper.chmod(0o755)
        tools = {f"TRUEUP_{name.upper()}": str(binary.parents[1] / "tests/tools" / name)
                 for name in ("lenstool", "evmtool")}
        result = live(run, tests, "valgrind", "8", tools, binary=wrapper, jobs=2)
        seen, ended = Counter(), Counter()
        for report in sorted(folder.glob("report.*")):
            text = report.read_text(errors="replace")
            seen[role(text)] += 1
            ended[role(text)] += "ERROR SUMMARY" in text
            if memcheck_found(text):
                result.fail(f"valgrind: {role(text)}\n{text[:3000]}")
        result.said.append(f"valgrind: {seen.total()} processes, {ended.total()} of them to their end: "
              + ", ".join(f"{n} {name}" for name, n in sorted(seen.items())))
        for name in sorted(roles - set(+ended)):
            result.fail(f"valgrind saw no {name!r} to its end")
        return result
