#include "proxy/route_protection.h"

#include <crypt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

struct protection {
    struct protection_rules rules;
    unsigned char secret[XXH3_SECRET_SIZE_MIN];
    pthread_mutex_t lock; /* of what follows */
    XXH128_hash_t remembered[PROTECTION_REMEMBERED];
    int64_t second_s;
    unsigned tries; /* in that second */
};

struct protection *protection_new(struct arena *a, const struct protection_rules *rules)
{
    struct protection *p = arena_alloc(a, sizeof *p);
    if (p == NULL || getrandom(p->secret, sizeof p->secret, 0) != (ssize_t)sizeof p->secret) return NULL;
    if (pthread_mutex_init(&p->lock, NULL) != 0) return NULL;
    p->rules = *rules;
    return p;
}

const struct protection_rules *protection_rules(const struct protection *p)
{
    return &p->rules;
}

const char *check_password_hash(struct view v)
{
    static const char *const slow[] = { "$y$", "$gy$", "$7$", "$2a$", "$2b$", "$2y$", "$6$", "$5$" };
    bool known = false;
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++) known = known || view_starts_with(v, view_of_str(slow[i]));
    int salt = known ? crypt_checksalt(v.at) : CRYPT_SALT_INVALID;
    bool sound = salt == CRYPT_SALT_OK || salt == CRYPT_SALT_METHOD_LEGACY;
    return sound ? NULL : "a hash that `openssl passwd -6` or `mkpasswd` makes: \"$6$...\", \"$y$...\"";
}

/* ---- tokens */

/* As long for a token that is nearly right as for any other of its length. */
static bool equal_in_constant_time(struct view given, struct view wanted)
{
    unsigned char difference = given.len != wanted.len;
    for (size_t i = 0; i < given.len && wanted.len > 0; i++)
        difference |= (unsigned char)(given.at[i] ^ wanted.at[i % wanted.len]);
    return difference == 0;
}

static bool is_a_token(const struct protection_rules *rules, struct view given)
{
    bool found = false;
    for (size_t i = 0; i < rules->tokens.count; i++)
        found = equal_in_constant_time(given, rules->tokens.at[i]) || found;
    return found;
}

/* ---- passwords */

static int sextet(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
    return at != NULL ? (int)(at - alphabet) : -1;
}

/* RFC 4648 §4. @return length, or -1 */
static int base64_decode(struct view v, char *to, size_t cap)
{
    unsigned bits = 0, held = 0;
    size_t len = 0;
    while (v.len > 0 && v.at[v.len - 1] == '=') v.len--;
    for (size_t i = 0; i < v.len; i++) {
        int n = sextet(v.at[i]);
        if (n < 0 || len == cap) return -1;
        bits = bits << 6 | (unsigned)n;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        to[len++] = (char)(bits >> held & 0xff);
    }
    return (int)len;
}

static XXH128_hash_t hash_of(const struct credentials *c)
{
    return (XXH128_hash_t){ .low64 = c->hash[0], .high64 = c->hash[1] };
}

/* Under the lock. */
static XXH128_hash_t *remembered_at(struct protection *p, XXH128_hash_t h)
{
    return &p->remembered[h.low64 % PROTECTION_REMEMBERED];
}

static bool is_remembered(struct protection *p, XXH128_hash_t h)
{
    pthread_mutex_lock(&p->lock);
    bool known = XXH128_isEqual(*remembered_at(p, h), h) != 0;
    pthread_mutex_unlock(&p->lock);
    return known;
}

bool credentials_may_be_tried(const struct credentials *c, int64_t now_s)
{
    struct protection *p = c->protection;
    pthread_mutex_lock(&p->lock);
    if (p->second_s != now_s) {
        p->second_s = now_s;
        p->tries = 0;
    }
    bool may = p->tries++ < PROTECTION_TRIES;
    pthread_mutex_unlock(&p->lock);
    return may;
}

/* An unknown name takes as long as a known one. */
static bool password_is_right(const struct protection_rules *rules, struct view name, const char *password)
{
    const struct user *user = NULL;
    for (size_t i = 0; i < rules->user_count && user == NULL; i++)
        if (view_equal(rules->users[i].name, name)) user = &rules->users[i];
    const char *hash = user != NULL ? user->hash : rules->users[0].hash;
    struct crypt_data *data = calloc(1, sizeof *data);
    bool right = false;
    if (data != NULL) {
        const char *made = crypt_r(password, hash, data);
        right = made != NULL && made[0] != '*' && equal_in_constant_time(view_of_str(made), view_of_str(hash));
        explicit_bzero(data, sizeof *data);
    }
    free(data);
    return right && user != NULL;
}

bool credentials_try(const struct credentials *c)
{
    struct protection *p = c->protection;
    XXH128_hash_t hash = hash_of(c);
    if (!password_is_right(&p->rules, view_of(c->text, c->name_len), c->text + c->name_len + 1)) return false;
    pthread_mutex_lock(&p->lock);
    *remembered_at(p, hash) = hash;
    pthread_mutex_unlock(&p->lock);
    return true;
}

void credentials_forget(struct credentials *c)
{
    explicit_bzero(c->text, sizeof c->text);
    c->len = c->name_len = 0;
}

static enum protection_verdict check_basic(struct protection *p, struct view encoded, struct credentials *out)
{
    int len = base64_decode(encoded, out->text, CREDENTIALS_MAX);
    out->protection = p;
    out->len = len > 0 ? (size_t)len : 0;
    struct view pair = view_of(out->text, out->len);
    out->name_len = view_find(pair, 0, ':');
    if (out->name_len == pair.len || memchr(out->text, '\0', pair.len) != NULL) {
        credentials_forget(out);
        return PROTECTION_REFUSES;
    }
    out->text[pair.len] = '\0';
    XXH128_hash_t hash = XXH3_128bits_withSecret(out->text, pair.len, p->secret, sizeof p->secret);
    out->hash[0] = hash.low64;
    out->hash[1] = hash.high64;
    if (!is_remembered(p, hash)) return PROTECTION_ASKS;
    credentials_forget(out);
    return PROTECTION_ALLOWS;
}

enum protection_verdict protection_check(struct protection *p, struct field_section request, struct credentials *out)
{
    const struct field *line = field_first(request, FIELD_AUTHORIZATION);
    if (line == NULL || field_next(request, line) != NULL) return PROTECTION_REFUSES;
    if (view_starts_with_nocase(line->value, VIEW("Bearer "))) {
        struct view token = view_trim_ows(view_after(line->value, strlen("Bearer ")));
        return is_a_token(&p->rules, token) ? PROTECTION_ALLOWS : PROTECTION_REFUSES;
    }
    if (p->rules.user_count == 0 || !view_starts_with_nocase(line->value, VIEW("Basic "))) return PROTECTION_REFUSES;
    return check_basic(p, view_trim_ows(view_after(line->value, strlen("Basic "))), out);
}

static bool same_users(const struct protection_rules *a, const struct protection_rules *b)
{
    if (a->user_count != b->user_count) return false;
    for (size_t i = 0; i < a->user_count; i++)
        if (!view_equal(a->users[i].name, b->users[i].name) || strcmp(a->users[i].hash, b->users[i].hash) != 0)
            return false;
    return true;
}

void protection_inherit(struct protection *p, struct protection *before)
{
    if (!same_users(&p->rules, &before->rules)) return;
    pthread_mutex_lock(&before->lock);
    memcpy(p->secret, before->secret, sizeof p->secret);
    memcpy(p->remembered, before->remembered, sizeof p->remembered);
    p->second_s = before->second_s;
    p->tries = before->tries;
    pthread_mutex_unlock(&before->lock);
}

void protection_challenge(const struct protection *p, char *to, size_t cap)
{
    bool basic = p->rules.user_count > 0, bearer = p->rules.tokens.count > 0;
    char one[160] = "", other[128] = "";
    if (basic) snprintf(one, sizeof one, "Basic realm=\"%.64s\", charset=\"UTF-8\"", p->rules.realm);
    if (bearer) snprintf(other, sizeof other, "Bearer realm=\"%.64s\"", p->rules.realm);
    snprintf(to, cap, "%s%s%s", one, basic && bearer ? ", " : "", other);
}
