/* http_date: HTTP-date (RFC 9110 §5.6.7). Pure functions. */
#ifndef WEIR_HEADERS_HTTP_DATE_H
#define WEIR_HEADERS_HTTP_DATE_H

#include "headers/view.h"

enum { HTTP_DATE_LEN = 29 };

/** IMF-fixdate, and the obsolete rfc850-date and asctime-date. Names of days and months in any case; the name of the
 *  day is not checked against the date. A two-digit year more than 50 years after now_s is in the past.
 *  @param out  seconds since 1970, UTC
 *  @return     false for every other form: other zones, missing parts, days that do not exist */
MUST_USE bool http_date_parse(struct view v, int64_t now_s, int64_t *out);

/** IMF-fixdate of t_s into `to`, NUL-terminated. */
void http_date_format(int64_t t_s, char to[HTTP_DATE_LEN + 1]);

#endif
