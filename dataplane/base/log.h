/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Log lines of programs, to stderr; libraries return errors instead. Under systemd (JOURNAL_STREAM set)
 * each line carries its priority as sd-daemon's "<N>" prefix, elsewhere a time and a word.
 */
#ifndef MOAT_BASE_LOG_H
#define MOAT_BASE_LOG_H

/* Values are syslog's (RFC 5424, 6.2.1). */
enum moat_log_level {
	MOAT_LOG_ERROR = 3,
	MOAT_LOG_WARNING = 4,
	MOAT_LOG_INFO = 6,
	MOAT_LOG_DEBUG = 7,
};

/* Lines above `level` are dropped. Default: MOAT_LOG_INFO. Thread-safe once threads run: call before. */
void moat_log_set_level(enum moat_log_level level);

/* One line, no newline in the format. Control characters in the text are written as \xNN, so that no
 * packet or file name can forge a line. Keep secrets out. Thread-safe. */
__attribute__((format(printf, 2, 3))) void moat_log(enum moat_log_level level, const char *format,
						    ...);

#endif
