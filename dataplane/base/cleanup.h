/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ownership in the type of a local: what carries a moat_cleanup attribute is released at the end of its
 * scope, and only moat_take_* lets it escape. Descriptors start at -1, pointers at NULL.
 */
#ifndef MOAT_BASE_CLEANUP_H
#define MOAT_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define moat_cleanup(destructor) __attribute__((cleanup(destructor)))

/* The pointer, which the variable no longer owns. */
#define moat_take_ptr(ptr)                       \
	({                                       \
		__typeof__(ptr) *_from = &(ptr); \
		__typeof__(ptr) _taken = *_from; \
		*_from = NULL;                   \
		_taken;                          \
	})

static inline int moat_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void moat_free_cleanup(void *ptr)
{
	free(*(void **)ptr);
}

static inline void moat_close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void moat_fclose_cleanup(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define moat_auto_free moat_cleanup(moat_free_cleanup)
#define moat_auto_close moat_cleanup(moat_close_cleanup)
#define moat_auto_fclose moat_cleanup(moat_fclose_cleanup)

#define MOAT_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
