import { describe, expect, test } from '@jest/globals';
import { searchSeries } from '../../src/catalog/search/search-store.ts';
import { readExpression } from '../../src/core/tags/tag-tree.ts';
import { rebuildCatalog } from '../../src/flows/repair/rebuild-catalog.ts';
import { readUnit } from '../../src/flows/series/tag-units.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { Store } from './store.ts';

const describeWithPostgres = hasTestPostgres() ? describe : describe.skip;

describeWithPostgres('tags of a rebuilt catalog', () => {
  test('are found as before, quantities in any unit', async () => {
    const store = await Store.open();
    try {
      const series = await store.create(
        importedSpec({
          name: 'deep',
          dtype: 'int16',
          channels: [{ label: 'value' }],
          sampling: { kind: 'irregular' },
          tags: { depth: { value: 300, unit: 'um' }, species: 'mouse' },
          provenance: {},
        }),
      );
      await store.append(series, { values: Int16Array.of(1), times: BigInt64Array.of(1n) });
      await store.flush();
      await store.loseCatalog();
      await rebuildCatalog({ db: store.db, root: store.root, hdf5: store.hdf5, codec: store.codec });
      const where = readExpression({ tag: 'depth', gte: { value: 0.3, unit: 'mm' } }, 'where', readUnit);
      const page = await searchSeries(store.db, { where, sort: [], limit: 10, after: null }, null);
      expect(page.items.map(({ id, tags }) => ({ id, tags }))).toEqual([{ id: series.id, tags: series.tags }]);
    } finally {
      await store.close();
    }
  });
});
