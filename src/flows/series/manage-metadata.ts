/** Tags of many series at once, their history, and the vocabularies of projects. */
import { v7 as uuidv7 } from 'uuid';
import type { Database, DatabasePools } from '../../catalog/database.ts';
import { inSearchSnapshot, namingFaults } from '../../catalog/search/search-snapshot.ts';
import { listHistory } from '../../catalog/series/history-store.ts';
import {
  editSeriesTags,
  isKeyUsed,
  listEdits,
  previewEdit,
  undoEdit,
  type EditedSeries,
  type TagEditRequest,
} from '../../catalog/tags/tag-edit-store.ts';
import {
  deleteVocabulary,
  readVocabularies,
  readVocabulary,
  storeVocabulary,
  unfitSeries,
} from '../../catalog/tags/vocabulary-store.ts';
import { notFound, unprocessableField, VarveError } from '../../core/errors.ts';
import { keyedAs, nameKey } from '../../core/same-name.ts';
import { editTags, MAX_TAG_LIST, MAX_TAGS, renameTag, tagField, type TagEdit } from '../../core/tags/tag-edit.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import type { Tags } from '../../core/signal/tag-value.ts';
import { assertInVocabulary, type Vocabulary } from '../../core/tags/vocabulary.ts';
import { assertProject, visibleSeries } from './series-reach.ts';
import type { Principal } from '../principal.ts';
import type { AppliedEdit, MetadataService, TagRenaming } from './metadata-service.ts';
import { readUnit, unitsNamingTags } from './tag-units.ts';

export function metadataService({
  reads,
  writes,
  searches,
  edits,
}: Omit<DatabasePools, 'jobs' | 'close'>): MetadataService {
  const visible = visibleSeries(reads);
  return {
    async previewEdit(principal, where, edit) {
      unitsNamingTags(edit.set);
      return inSearchSnapshot(searches, (trx) => previewEdit(trx, where, scopeOf(principal)));
    },
    editTags: (principal, where, edit, request) => editFound(edits, principal, where, edit, request),
    renameTag: (principal, renaming) => rename({ reads, edits }, principal, renaming),
    async undoEdit(principal, editId) {
      const id = uuidv7();
      const result = await undoEdit(edits, editId, { id, tokenId: principal.tokenId, scope: scopeOf(principal) });
      return { id, ...result };
    },
    listEdits: (principal, page) =>
      listEdits(reads, { ...page, scope: scopeOf(principal), tokenId: principal.tokenId }),
    async history(principal, ref, page) {
      const { id } = await visible(principal, ref);
      return listHistory(reads, id, page);
    },
    async vocabulary(principal, project) {
      await assertProject(reads, principal, project);
      const vocabulary = await readVocabulary(reads, project);
      if (!vocabulary) throw notFound('vocabulary of', project);
      return vocabulary;
    },
    async setVocabulary(principal, project, vocabulary) {
      await assertProject(reads, principal, project);
      refuseForeignUnits(vocabulary);
      const updatedAt = await storeVocabulary(writes, project, vocabulary);
      const unfit = await unfitSeries(reads, project, vocabulary, readUnit);
      return { vocabulary: { ...vocabulary, updatedAt }, unfit };
    },
    async deleteVocabulary(principal, project) {
      await assertProject(reads, principal, project);
      await deleteVocabulary(writes, project);
    },
  };
}

function scopeOf(principal: Principal): readonly string[] | null {
  return principal.projects?.ids ?? null;
}

function editFound(
  db: Database,
  principal: Principal,
  where: Expression,
  edit: TagEdit,
  request: unknown,
): Promise<AppliedEdit> {
  const units = unitsNamingTags(edit.set);
  const touched = new Set([...Object.keys(edit.set), ...edit.remove]);
  return apply(db, principal, { kind: 'edit', where, request, units, touched, change: (tags) => editTags(tags, edit) });
}

async function rename(
  { reads, edits }: Pick<DatabasePools, 'reads' | 'edits'>,
  principal: Principal,
  renaming: TagRenaming,
): Promise<AppliedEdit> {
  const { project, from, to, merge } = renaming;
  await assertProject(reads, principal, project);
  return apply(edits, principal, {
    kind: 'rename',
    where: {
      kind: 'and',
      of: [
        { kind: 'tag', key: from, test: { op: 'exists' } },
        { kind: 'field', field: 'project', test: { op: 'any', values: [{ type: 'text', text: project }] } },
      ],
    },
    request: renaming,
    units: [],
    touched: new Set([from, to]),
    change: (tags) => renameTag(tags, from, to),
    unused: merge ? null : { project, key: to },
  });
}

interface EditToApply extends Pick<TagEditRequest, 'kind' | 'where' | 'request' | 'units'> {
  readonly touched: ReadonlySet<string>;
  readonly change: (tags: Tags) => Tags;
  /** A key that the project must not have. */
  readonly unused?: { readonly project: string; readonly key: string } | null;
}

function apply(db: Database, principal: Principal, edit: EditToApply): Promise<AppliedEdit> {
  const { kind, where, request, units, unused = null } = edit;
  const id = uuidv7();
  return namingFaults(() =>
    db.transaction().execute(async (trx) => {
      if (unused && (await isKeyUsed(trx, unused.project, unused.key))) {
        const message = `${JSON.stringify(unused.key)} is a tag of this project already; "merge": true unites them`;
        throw new VarveError('conflict', `to: ${message}`, {
          slug: 'key-in-use',
          errors: [{ field: 'to', message }],
        });
      }
      const series = await editSeriesTags(trx, {
        id,
        kind,
        tokenId: principal.tokenId,
        request,
        where,
        scope: scopeOf(principal),
        units,
        change: async (found) => {
          const vocabularies = await readVocabularies(trx, [...new Set(found.map(({ project }) => project))]);
          return found.map((each) => {
            const tags = edit.change(each.tags);
            assertStorable(each, tags, edit.touched);
            assertInVocabulary(vocabularies.get(nameKey(each.project)) ?? null, tags, edit.touched, readUnit);
            return tags;
          });
        },
      });
      return { id, series };
    }),
  );
}

/** @throws unprocessable naming the tag, and the series */
function assertStorable({ id }: EditedSeries, tags: Tags, touched: ReadonlySet<string>): void {
  if (Object.keys(tags).length > MAX_TAGS) {
    throw unprocessableField('set', `series ${id} would have more than ${MAX_TAGS} tags`, 'too-many-tags');
  }
  for (const key of touched) {
    const value = tags[keyedAs(tags, key) ?? ''] ?? null;
    if (Array.isArray(value) && value.length > MAX_TAG_LIST) {
      throw unprocessableField(
        tagField(key),
        `of series ${id} would have more than ${MAX_TAG_LIST} values`,
        'too-many-values',
      );
    }
  }
}

/** @throws unprocessable naming the key */
function refuseForeignUnits({ keys }: Vocabulary): void {
  for (const [key, { unit, values }] of Object.entries(keys)) {
    unitsNamingTags({ [key]: values && values.length > 0 ? values : null });
    if (unit === null || readUnit(unit)) continue;
    throw unprocessableField(`keys.${key}.unit`, `${JSON.stringify(unit)} is no UCUM unit`, 'unknown-unit');
  }
}
