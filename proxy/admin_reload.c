/* POST /v1/reload: the same as SIGHUP, with the answer in hand. */
#include "proxy/admin_internal.h"
#include "proxy/admin_json.h"
#include "proxy/config_reload.h"
#include "proxy/problem.h"

#include <stdlib.h>

static json_t *errors_of(const struct config_report *report)
{
    json_t *errors = json_array();
    for (size_t i = 0; i < report->count; i++)
        json_array_append_new(errors, admin_json_text(view_of_str(report->lines[i])));
    return errors;
}

static void refuse(struct admin_request *r, const struct config_report *report)
{
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:s, s:o}", "type", "about:blank", "title", "Unprocessable Content", "status", 422,
                  "detail", "the configuration is not sound; the old one stays", "errors", errors_of(report));
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    admin_answer(r, 422, PROBLEM_CONTENT_TYPE, text, text != NULL ? strlen(text) : 0);
}

void admin_reload(struct admin_request *r)
{
    struct config_report *report = malloc(sizeof *report);
    size_t changes = 0;
    if (report == NULL)
        admin_answer(r, 503, NULL, NULL, 0);
    else if (config_reload(r->admin->weir->reloader, report, &changes))
        admin_answer_json(r, 200, json_pack("{s:b, s:I}", "reloaded", 1, "changes", (json_int_t)changes));
    else
        refuse(r, report);
    free(report);
}
