/**
 * Names are compared and kept unique in the composed form of Unicode (NFC), and stay as they were sent. `series_tags`, which nobody sends, has keys and
 * texts in that form.
 */
import { sql, type Kysely, type Migration } from 'kysely';

/** Those that now have the name of an older one get a number behind it. */
function numbered(table: string, column: string, within: string, among: string, order: string): string {
  return `do $$
    declare
      r record;
      n integer;
    begin
      for r in
        select x.* from (
          select t.*, row_number() over (partition by ${within}varve_nfc(t.${column}) order by ${order}) as place from ${table} t where ${among}) x
        where x.place > 1
      loop
        n := 2;
        while exists (select from ${table} t where ${among} ${within === '' ? '' : 'and t.project_id = r.project_id'}
            and varve_nfc(t.${column}) = varve_nfc(r.${column}) || ' (' || n || ')') loop
          n := n + 1;
        end loop;
        update ${table} t set ${column} = r.${column} || ' (' || n || ')'
          where t.${column} = r.${column} and ${among} ${within === '' ? '' : 'and t.project_id = r.project_id'};
      end loop;
    end $$`;
}

const STATEMENTS = [
  // Most texts are ASCII, and composed as they are.
  `create function varve_nfc(value text) returns text language sql immutable parallel safe
     return case when octet_length(value) = length(value) then value else normalize(value, NFC) end`,
  // No character that JSON is made of is a part of a composed one.
  `create function varve_nfc_json(value jsonb) returns jsonb language sql immutable parallel safe
     return case when octet_length(value::text) = length(value::text) then value else normalize(value::text, NFC)::jsonb end`,

  // ── what has one name is one ───────────────────────────────────────────────────────────────────────────────────
  numbered('projects', 'name', '', 'true', 't.created_at, t.id'),
  `alter table projects drop constraint projects_name_key`,
  `create unique index projects_name on projects (varve_nfc(name))`,
  numbered('series', 'name', 't.project_id, ', 't.deleted_at is null', 't.created_at, t.id'),
  `drop index series_name`,
  `create unique index series_name on series (project_id, varve_nfc(name)) where deleted_at is null`,
  numbered('subjects', 'id', 't.project_id, ', 'true', 't.updated_at, t.id'),
  `create unique index subjects_id on subjects (project_id, varve_nfc(id))`,

  // ── ways in ────────────────────────────────────────────────────────────────────────────────────────────────────
  `drop index series_by_name`,
  `create index series_by_name on series ((varve_nfc(name) collate "C"), id) where deleted_at is null`,
  `create or replace function varve_words(name text, description text) returns tsvector language sql immutable parallel safe
     return to_tsvector('simple'::regconfig,
       translate(varve_nfc(name || ' ' || coalesce(description, '')), '/_-.:,;@&=?', '           '))`,
  `reindex index series_words`,
  `create or replace function varve_external_ids(ids jsonb) returns text[] language sql immutable parallel safe
     return array(select varve_nfc(value) from jsonb_each_text(ids))`,
  `reindex index series_external_ids`,
  `drop index series_channels`,
  `create index series_channels on series using gin (varve_nfc_json(channels) jsonb_path_ops)
     where deleted_at is null and channels <> '[{"label": "value"}]'`,
  `drop index series_subject`,
  `create index series_subject on series ((left(varve_nfc(provenance ->> 'subject'), 512) collate "C"), id)
     where deleted_at is null and provenance ? 'subject'`,
  `drop index annotations_label`,
  `create index annotations_label on annotations (varve_nfc(label), series_id)`,

  // ── the values of tags ─────────────────────────────────────────────────────────────────────────────────────────
  `create or replace function varve_index_new_tags() returns trigger language plpgsql as $$
     begin
       insert into series_tags select distinct on (r.entry, r.series_id) r.*
         from added s, varve_tag_rows(s.id, s.project_id, varve_nfc_json(s.tags)) r
         where s.deleted_at is null
         order by r.entry, r.series_id; -- neighbours in the index: a third faster
       return null;
     end $$`,
  `create or replace function varve_index_tags() returns trigger language plpgsql as $$
     declare
       changed text[];
     begin
       if tg_op = 'UPDATE' and new.project_id = old.project_id and old.deleted_at is null and new.deleted_at is null then
         changed := array(
           select varve_nfc(o.key) from jsonb_each(old.tags) o where new.tags -> o.key is distinct from o.value
           union
           select varve_nfc(n.key) from jsonb_object_keys(new.tags) n(key) where not old.tags ? n.key);
         if changed = '{}' then
           return null;
         end if;
         delete from series_tags t where t.series_id = new.id and t.key = any(changed);
         insert into series_tags select r.* from varve_tag_rows(new.id, new.project_id,
             (select coalesce(jsonb_object_agg(n.key, n.value), '{}') from jsonb_each(varve_nfc_json(new.tags)) n
               where n.key = any(changed))) r
           on conflict do nothing;
         return null;
       end if;
       if tg_op <> 'INSERT' then
         delete from series_tags t where t.series_id = old.id;
       end if;
       if tg_op <> 'DELETE' and new.deleted_at is null then
         insert into series_tags select r.* from varve_tag_rows(new.id, new.project_id, varve_nfc_json(new.tags)) r
           on conflict do nothing;
       end if;
       return null;
     end $$`,
  `delete from series_tags t using series s where s.id = t.series_id and varve_nfc_json(s.tags) <> s.tags`,
  `insert into series_tags select r.* from series s, varve_tag_rows(s.id, s.project_id, varve_nfc_json(s.tags)) r
     where s.deleted_at is null and varve_nfc_json(s.tags) <> s.tags on conflict do nothing`,
];

export const names: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
