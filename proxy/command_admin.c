#include "proxy/command_admin.h"

#include "proxy/admin_client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { WHY_MAX = 512, TOKEN_MAX = 1024 };

/* ---- options */

struct command command_of(const char *name, const char *usage)
{
    bool colour = isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL;
    return (struct command){ .name = name, .usage = usage, .admin = "127.0.0.1:8081", .colour = colour };
}

static void complain(const struct command *c, const char *what)
{
    fprintf(stderr, "weir %s: ", c->name);
    command_put_text(stderr, what);
    fputc('\n', stderr);
}

int command_wrong(const struct command *c, const char *format, ...)
{
    char what[WHY_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    complain(c, what);
    return COMMAND_WRONG;
}

int command_option(struct command *c, int option, char **argv)
{
    switch (option) {
    case COMMAND_OPTION_ADMIN:
        c->admin = optarg;
        if (admin_address_is_valid(optarg)) return COMMAND_GO_ON;
        return command_wrong(c, "--admin '%s' is no address: write 127.0.0.1:8081 or [::1]:8081", optarg);
    case COMMAND_OPTION_TOKEN_FILE: c->token_file = optarg; return COMMAND_GO_ON;
    case COMMAND_OPTION_JSON: c->json = true; return COMMAND_GO_ON;
    case COMMAND_OPTION_HELP: printf("%s%s", c->usage, COMMAND_USAGE); return COMMAND_OK;
    case ':': return command_wrong(c, "%s needs a value; see weir %s --help", argv[optind - 1], c->name);
    default: return command_wrong(c, "unknown option %s; see weir %s --help", argv[optind - 1], c->name);
    }
}

/* ---- the call */

/* @return COMMAND_GO_ON with the token in `to` (empty: none), or the exit status */
static int read_token(const struct command *c, char to[TOKEN_MAX])
{
    const char *from_environment = getenv("WEIR_ADMIN_TOKEN");
    to[0] = '\0';
    if (c->token_file == NULL) {
        if (from_environment != NULL) snprintf(to, TOKEN_MAX, "%s", from_environment);
        return COMMAND_GO_ON;
    }
    FILE *f = fopen(c->token_file, "re");
    if (f == NULL) return command_wrong(c, "--admin-token-file %s: %s", c->token_file, strerror(errno));
    bool read = fgets(to, TOKEN_MAX, f) != NULL;
    fclose(f);
    to[strcspn(to, "\r\n")] = '\0';
    if (!read || to[0] == '\0') return command_wrong(c, "--admin-token-file %s: it is empty", c->token_file);
    return COMMAND_GO_ON;
}

static int refused(const struct command *c, const struct admin_reply *reply)
{
    char why[WHY_MAX];
    json_t *problem = json_loadb(reply->content, reply->content_len, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    if (reply->status == 401)
        snprintf(why, sizeof why, "%s wants the admin token: set WEIR_ADMIN_TOKEN or give --admin-token-file FILE",
                 c->admin);
    else
        snprintf(why, sizeof why, "%s (status %d)", detail != NULL ? detail : "refused", reply->status);
    complain(c, why);
    json_decref(problem);
    return reply->status == 400 || reply->status == 413 ? COMMAND_WRONG : COMMAND_FAILED;
}

static int take_reply(const struct command *c, const struct admin_reply *reply, json_t **out)
{
    if (reply->status != 200) return refused(c, reply);
    *out = json_loadb(reply->content, reply->content_len, 0, NULL);
    if (*out == NULL) {
        complain(c, "the answer is not JSON; is this weir's admin address?");
        return COMMAND_FAILED;
    }
    if (c->json) fwrite(reply->content, 1, reply->content_len, stdout);
    return COMMAND_GO_ON;
}

int command_call(const struct command *c, const char *method, const char *target, json_t *content, json_t **out)
{
    char why[WHY_MAX], token[TOKEN_MAX];
    struct admin_reply reply;
    char *text = content != NULL ? json_dumps(content, JSON_COMPACT) : NULL;
    bool no_memory = content != NULL && text == NULL;
    json_decref(content);
    *out = NULL;
    int rc = read_token(c, token);
    struct admin_call call = { .address = c->admin,
                               .token = token[0] != '\0' ? token : NULL,
                               .method = method,
                               .target = target,
                               .content = view_of_str(text) };
    if (rc == COMMAND_GO_ON && (no_memory || admin_call(&call, &reply, why, sizeof why) != 0)) {
        complain(c, no_memory ? "out of memory" : why);
        rc = COMMAND_FAILED;
    } else if (rc == COMMAND_GO_ON) {
        rc = take_reply(c, &reply, out);
        free(reply.content);
    }
    free(text);
    return rc;
}

/* ---- printing */

json_t *command_at(const json_t *json, const char *path)
{
    char name[COMMAND_VALUE_MAX];
    const char *dot;
    json_t *at = json_object_get(json, path);
    if (at != NULL || (dot = strchr(path, '.')) == NULL) return at;
    snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
    return command_at(json_object_get(json, name), dot + 1);
}

double command_number(const json_t *json, const char *path)
{
    return json_number_value(command_at(json, path));
}

/* What came over the network may hold control characters: C0, DEL, and C1 in UTF-8. */
void command_put_text(FILE *f, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
        bool control = *c < 0x20 || *c == 0x7f;
        fputc(c1 || control ? '?' : *c, f);
        if (c1) c++;
    }
}

const char *command_bytes(double bytes, char to[COMMAND_VALUE_MAX])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) bytes /= 1024;
    snprintf(to, COMMAND_VALUE_MAX, unit > 0 && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return to;
}

const char *command_duration(double seconds, char to[COMMAND_VALUE_MAX])
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" } };
    double left = seconds < 0 ? -seconds : seconds;
    const char *sign = seconds < 0 ? "-" : "";
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (left < 2 * units[i].seconds) continue;
        long long whole = (long long)(left / units[i].seconds);
        double next = i < 2 ? units[i + 1].seconds : 1;
        long long rest = (long long)((left - (double)whole * units[i].seconds) / next);
        const char *rest_name = i < 2 ? units[i + 1].name : "s";
        if (rest > 0)
            snprintf(to, COMMAND_VALUE_MAX, "%s%lld %s %lld %s", sign, whole, units[i].name, rest, rest_name);
        else
            snprintf(to, COMMAND_VALUE_MAX, "%s%lld %s", sign, whole, units[i].name);
        return to;
    }
    snprintf(to, COMMAND_VALUE_MAX, "%s%.0f s", sign, left);
    return to;
}
