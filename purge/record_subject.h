/* record_subject: what a purge asks of a stored record, read from bytes that may lie anywhere. */
#ifndef WEIR_PURGE_RECORD_SUBJECT_H
#define WEIR_PURGE_RECORD_SUBJECT_H

#include "cache/record.h"
#include "purge/purge.h"
#include "purge/tag.h"

struct record_subject {
    uint16_t kind; /* enum record_kind */
    struct purge_subject subject;
    uint64_t tags[TAG_MAX + 3]; /* what subject.tags points to: host and URI are among them */
};

/** @return false when the record is damaged or of another format */
MUST_USE bool record_subject_of(struct view record, uint64_t fetch_seq, struct record_subject *out);
/** The target URI alone; empty when the record is damaged. Borrows from the record. */
struct view record_subject_uri(struct view record);

#endif
