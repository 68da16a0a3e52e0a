/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Positions by path, from libyaml's document tree. */
#include "ctl/config_marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct moat_marks {
	yaml_document_t document;
};

static struct moat_mark mark_of(const yaml_mark_t *mark)
{
	return (struct moat_mark){ .line = mark->line + 1, .column = mark->column + 1 };
}

static int parser_error(const yaml_parser_t *parser, const char *path, struct moat_error *error)
{
	struct moat_mark mark = mark_of(&parser->problem_mark);

	if (parser->error == YAML_MEMORY_ERROR)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", path);
	/* The reader knows no lines: it fails before it has split any. */
	if (parser->error == YAML_READER_ERROR)
		return moat_error_set(error, -EINVAL, "%s:1:1: %s at byte %zu", path,
				      parser->problem, parser->problem_offset);
	return moat_error_set(error, -EINVAL, "%s:%zu:%zu: %s%s%s", path, mark.line, mark.column,
			      parser->problem ? parser->problem : "no YAML",
			      parser->context ? ", " : "", parser->context ? parser->context : "");
}

int moat_marks_new(const char *path, const char *text, size_t length, struct moat_marks **ret_marks,
		   struct moat_error *error)
{
	struct moat_marks *marks = calloc(1, sizeof(*marks));
	yaml_parser_t parser;
	int r = 0;

	if (!marks)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", path);
	if (!yaml_parser_initialize(&parser)) {
		free(marks);
		return moat_error_set(error, -ENOMEM, "%s: out of memory", path);
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
	if (!yaml_parser_load(&parser, &marks->document)) {
		r = parser_error(&parser, path, error);
		free(marks);
	} else {
		*ret_marks = marks;
	}
	yaml_parser_delete(&parser);
	return r;
}

void moat_marks_free(struct moat_marks *marks)
{
	if (!marks)
		return;
	yaml_document_delete(&marks->document);
	free(marks);
}

void moat_marks_free_cleanup(struct moat_marks **marks)
{
	moat_marks_free(*marks);
}

/* libyaml's accessors lack const, but change nothing. */
static yaml_node_t *node_at(const struct moat_marks *marks, int index)
{
	return yaml_document_get_node((yaml_document_t *)&marks->document, index);
}

/* The child that `word` (of `length` bytes) names; *ret_key is its key in a mapping. */
static yaml_node_t *child_of(const struct moat_marks *marks, const yaml_node_t *node,
			     const char *word, size_t length, yaml_node_t **ret_key)
{
	if (node->type == YAML_SEQUENCE_NODE) {
		size_t items = (size_t)(node->data.sequence.items.top -
					node->data.sequence.items.start);
		size_t index = strtoul(word, NULL, 10);

		return index < items ? node_at(marks, node->data.sequence.items.start[index]) : NULL;
	}
	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = node_at(marks, pair->key);

		if (!key || key->type != YAML_SCALAR_NODE || key->data.scalar.length != length ||
		    memcmp(key->data.scalar.value, word, length) != 0)
			continue;
		*ret_key = key;
		return node_at(marks, pair->value);
	}
	return NULL;
}

static struct moat_mark find(const struct moat_marks *marks, const char *where, int want_key)
{
	yaml_node_t *node = yaml_document_get_root_node((yaml_document_t *)&marks->document);
	yaml_node_t *key = NULL;

	if (!node)
		return (struct moat_mark){ .line = 1, .column = 1 };
	for (const char *word = where; *word;) {
		size_t length = strcspn(word, ".");
		yaml_node_t *child_key = NULL;
		yaml_node_t *child = child_of(marks, node, word, length, &child_key);

		if (!child)
			return mark_of(&node->start_mark);
		node = child;
		key = child_key;
		word += length + (word[length] == '.');
	}
	return mark_of(want_key && key ? &key->start_mark : &node->start_mark);
}

struct moat_mark moat_marks_value(const struct moat_marks *marks, const char *where)
{
	return find(marks, where, 0);
}

struct moat_mark moat_marks_key(const struct moat_marks *marks, const char *where)
{
	return find(marks, where, 1);
}
