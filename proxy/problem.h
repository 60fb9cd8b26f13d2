/* problem: what weir says when it answers with an error of its own (RFC 9457). Pure functions. */
#ifndef WEIR_PROXY_PROBLEM_H
#define WEIR_PROXY_PROBLEM_H

#include "headers/view.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

enum { PROBLEM_MIN = 128 }; /* room that fits every problem without its detail */

/** The reason phrase of a registered status code (RFC 9110 §15 and the registry); of any other, that of its class. */
const char *status_title(int status);

/** A problem detail as a JSON object, NUL-terminated. A detail that does not fit is cut between two characters; bytes
 *  of it that are not UTF-8 become U+FFFD.
 *  @param title   NULL: status_title
 *  @param detail  NULL: none
 *  @return        length without the NUL; 0 when cap cannot even hold the problem without its detail */
size_t problem_format(int status, const char *title, const char *detail, char *to, size_t cap);

#endif
