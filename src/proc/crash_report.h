/*
 * A worker's crash report: the signal, the address, and the calls that led there. The worker writes
 * it into its part of the shared page. The supervisor logs it with the exit reason.
 *
 * The handler runs in a process that is broken: it allocates nothing, takes no lock, and has three
 * seconds. Everything it needs is made ready beforehand. Addresses are given as FILE+OFFSET, so
 * that `addr2line -e FILE OFFSET` reads them wherever the program was loaded.
 */
#ifndef PROC_CRASH_REPORT_H
#define PROC_CRASH_REPORT_H

#include <stdbool.h>

/* After counters_attach(). A build with AddressSanitizer installs nothing: it has its own report.
 */
void crash_report_install(void);
/* Is this one of the signals that a process gets for what it does itself? */
bool crash_report_is_fatal(int signal_number);

#endif
