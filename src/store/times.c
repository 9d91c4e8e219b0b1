#include "store/times.h"

#include <string.h>
#include <time.h>

/* Days since 1970 of a civil date, counting years from March so that a leap day is last.
 */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void time_digits(char *to, int64_t v, int n)
{
    while (n-- > 0) {
        to[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void time_to_text(int64_t us, char ret[TIME_TEXT])
{
    /* years 0000 to 9999, or the text would lose its order */
    const int64_t least = INT64_C(-62167219200000000), most = INT64_C(253402300799999999);
    us = us < least ? least : us > most ? most : us;
    const int64_t second_us = 1000000;
    int64_t rest = us % second_us + (us % second_us < 0 ? second_us : 0);
    const time_t seconds = (time_t)((us - rest) / second_us);
    struct tm t;
    gmtime_r(&seconds, &t);
    memcpy(ret, "0000-00-00 00:00:00.000000", TIME_TEXT);
    time_digits(ret, t.tm_year + 1900, 4);
    time_digits(ret + 5, t.tm_mon + 1, 2);
    time_digits(ret + 8, t.tm_mday, 2);
    time_digits(ret + 11, t.tm_hour, 2);
    time_digits(ret + 14, t.tm_min, 2);
    time_digits(ret + 17, t.tm_sec, 2);
    time_digits(ret + 20, rest, 6);
}

static bool time_number(const char *s, int n, unsigned *ret)
{
    *ret = 0;
    for (int i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *ret = *ret * 10 + (unsigned)(s[i] - '0');
    }
    return true;
}

bool time_from_text(const char *s, size_t n, int64_t *ret_us)
{
    unsigned y, mo, d, h, mi, sec, fraction = 0;
    if (n < 19 || s[4] != '-' || s[7] != '-' || (s[10] != ' ' && s[10] != 'T') || s[13] != ':' ||
        s[16] != ':')
        return false;
    if (!time_number(s, 4, &y) || !time_number(s + 5, 2, &mo) || !time_number(s + 8, 2, &d) ||
        !time_number(s + 11, 2, &h) || !time_number(s + 14, 2, &mi) ||
        !time_number(s + 17, 2, &sec))
        return false;
    if (mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 60)
        return false;
    if (n > 19) {
        int places = (int)n - 20;
        if (s[19] != '.' || n > 26 || places < 1 || !time_number(s + 20, places, &fraction))
            return false;
        for (; places < 6; places++)
            fraction *= 10;
    }
    *ret_us = ((days_of(y, mo, d) * 24 + h) * 60 + mi) * INT64_C(60000000) +
              (int64_t)sec * 1000000 + fraction;
    return true;
}
