#include "headers/http_date.h"

enum { DAY_S = 86400, YEAR_MAX = 9999, YEARS_AHEAD_MAX = 50 };

static const char day_names[7][10] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* The proleptic Gregorian calendar, UTC. */
struct civil {
    int year, month, day; /* month 1 to 12 */
    int hour, minute, second;
};

static bool is_leap_year(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
    static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month - 1] + (month == 2 && is_leap_year(year));
}

/* Days from 0001-01-01 to the first day of the year, the leap days of the years before included. */
static int64_t days_before_year(int year)
{
    int64_t past = year - 1;
    return past * 365 + past / 4 - past / 100 + past / 400;
}

static int64_t seconds_of(const struct civil *c)
{
    int64_t days = days_before_year(c->year) - days_before_year(1970) + c->day - 1;
    for (int m = 1; m < c->month; m++) days += days_in_month(c->year, m);
    return days * DAY_S + c->hour * 3600 + c->minute * 60 + c->second;
}

/* t_s beyond the years 1 to 9999 is taken as their first or last second. */
static struct civil civil_of(int64_t t_s)
{
    const struct civil first = { 1, 1, 1, 0, 0, 0 }, last = { YEAR_MAX, 12, 31, 23, 59, 59 };
    if (t_s < seconds_of(&first)) return first;
    if (t_s > seconds_of(&last)) return last;
    int64_t t = t_s - seconds_of(&first);
    int64_t days = t / DAY_S;
    int in_day = (int)(t % DAY_S);
    struct civil c = { (int)(days / 366) + 1, 1, 1, in_day / 3600, in_day / 60 % 60, in_day % 60 };
    while (days_before_year(c.year + 1) <= days) c.year++;
    days -= days_before_year(c.year);
    while (days >= days_in_month(c.year, c.month)) days -= days_in_month(c.year, c.month++);
    c.day = (int)days + 1;
    return c;
}

/* The parsers below cut what they read off *v; each is false when it is not there. */
static bool take(struct view *v, struct view literal)
{
    enum { CASE_BIT = 0x20 };
    bool may_be = v->len > 0 && ((v->at[0] ^ literal.at[0]) & ~CASE_BIT) == 0; /* most names end here */
    if (!may_be || !view_starts_with_nocase(*v, literal)) return false;
    *v = view_after(*v, literal.len);
    return true;
}

static bool take_digits(struct view *v, size_t n, int *out)
{
    int value = 0;
    if (v->len < n) return false;
    for (size_t i = 0; i < n; i++) {
        if (v->at[i] < '0' || v->at[i] > '9') return false;
        value = value * 10 + (v->at[i] - '0');
    }
    *out = value;
    *v = view_after(*v, n);
    return true;
}

static bool take_month(struct view *v, int *month)
{
    for (int m = 0; m < 12; m++) {
        if (take(v, view_of(month_names[m], 3))) {
            *month = m + 1;
            return true;
        }
    }
    return false;
}

static bool take_time(struct view *v, struct civil *c)
{
    return take_digits(v, 2, &c->hour) && take(v, VIEW(":")) && take_digits(v, 2, &c->minute) && take(v, VIEW(":")) &&
           take_digits(v, 2, &c->second);
}

/* What follows the day-name, in each of the three forms. */
static bool take_imf(struct view v, struct civil *c)
{
    return take_digits(&v, 2, &c->day) && take(&v, VIEW(" ")) && take_month(&v, &c->month) && take(&v, VIEW(" ")) &&
           take_digits(&v, 4, &c->year) && take(&v, VIEW(" ")) && take_time(&v, c) && take(&v, VIEW(" GMT")) &&
           v.len == 0;
}

static bool take_rfc850(struct view v, struct civil *c)
{
    return take_digits(&v, 2, &c->day) && take(&v, VIEW("-")) && take_month(&v, &c->month) && take(&v, VIEW("-")) &&
           take_digits(&v, 2, &c->year) && take(&v, VIEW(" ")) && take_time(&v, c) && take(&v, VIEW(" GMT")) &&
           v.len == 0;
}

static bool take_asctime(struct view v, struct civil *c)
{
    if (!take_month(&v, &c->month) || !take(&v, VIEW(" "))) return false;
    bool padded = take(&v, VIEW(" "));
    return take_digits(&v, padded ? 1 : 2, &c->day) && take(&v, VIEW(" ")) && take_time(&v, c) && take(&v, VIEW(" ")) &&
           take_digits(&v, 4, &c->year) && v.len == 0;
}

/* A day and a time that exist. The grammar allows the second 60; our clock has none: it is 59. */
static bool make_real(struct civil *c)
{
    if (c->year < 1 || c->day < 1 || c->day > days_in_month(c->year, c->month)) return false;
    if (c->hour > 23 || c->minute > 59 || c->second > 60) return false;
    if (c->second == 60) c->second = 59;
    return true;
}

/* The year with these last two digits that is nearest to now + 50 years from below. */
static void complete_year(struct civil *c, int64_t now_s)
{
    struct civil limit = civil_of(now_s);
    limit.year += YEARS_AHEAD_MAX;
    c->year += limit.year / 100 * 100;
    if (seconds_of(c) > seconds_of(&limit)) c->year -= 100;
}

/* day-name, or day-name-l, which only rfc850-date has. */
static bool take_day_name(struct view *v, bool *is_long)
{
    for (size_t d = 0; d < 7; d++) {
        struct view full = view_of_str(day_names[d]);
        *is_long = take(v, full);
        if (*is_long || take(v, view_first(full, 3))) return true;
    }
    return false;
}

bool http_date_parse(struct view v, int64_t now_s, int64_t *out)
{
    struct civil c = { 0 };
    bool is_long;
    if (!take_day_name(&v, &is_long)) return false;
    if (is_long) {
        if (!take(&v, VIEW(", ")) || !take_rfc850(v, &c)) return false;
        complete_year(&c, now_s);
    } else if (take(&v, VIEW(", "))) {
        if (!take_imf(v, &c)) return false;
    } else if (!take(&v, VIEW(" ")) || !take_asctime(v, &c)) {
        return false;
    }
    if (!make_real(&c)) return false;
    *out = seconds_of(&c);
    return true;
}

static void put_digits(char *to, size_t n, int value)
{
    while (n > 0) {
        to[--n] = (char)('0' + value % 10);
        value /= 10;
    }
}

void http_date_format(int64_t t_s, char to[HTTP_DATE_LEN + 1])
{
    struct civil c = civil_of(t_s);
    const struct civil monday = { 1, 1, 1, 0, 0, 0 };
    int64_t weekday = ((seconds_of(&c) - seconds_of(&monday)) / DAY_S + 1) % 7;
    memcpy(to, "ddd, 00 mmm 0000 00:00:00 GMT", HTTP_DATE_LEN + 1);
    memcpy(to, day_names[weekday], 3);
    put_digits(to + 5, 2, c.day);
    memcpy(to + 8, month_names[c.month - 1], 3);
    put_digits(to + 12, 4, c.year);
    put_digits(to + 17, 2, c.hour);
    put_digits(to + 20, 2, c.minute);
    put_digits(to + 23, 2, c.second);
}
