import { describe, expect, test } from '@jest/globals';
import { openApiDocument } from '../../src/http/openapi.ts';
import { provenance } from '../../src/http/wire/provenance-schema.ts';
import { createApp } from '../../src/http/server.ts';
import { keepingLog, stubService } from './stub-service.ts';

interface Layer {
  readonly route?: { readonly path: string | string[]; readonly methods: Record<string, boolean> };
  readonly handle: { readonly stack?: Layer[] };
}

/** `get /v1/series/{id}` … of everything mounted. */
function mountedOperations(layers: readonly Layer[]): string[] {
  return layers.flatMap(({ route, handle }) => {
    if (!route) return mountedOperations(handle.stack ?? []);
    const paths = [route.path].flat().map((path) => path.replace(/[:*](\w+)/g, '{$1}'));
    return paths.flatMap((path) => Object.keys(route.methods).map((method) => `${method} ${path}`));
  });
}

interface Operation {
  readonly operationId: string;
  readonly responses: Record<string, { content?: Record<string, unknown> }>;
}

const document = openApiDocument('1.2.3');
const operations = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
  Object.entries(item as Record<string, Operation>).map(([method, operation]) => ({
    name: `${method} ${path}`,
    operation,
  })),
);

/** A place in the document. */
interface Node {
  readonly [key: string]: unknown;
}

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null;
const entries = (value: unknown): [string, Node][] =>
  isNode(value) ? (Object.entries(value) as [string, Node][]) : [];
const isSaid = (value: unknown): boolean => typeof value === 'string' && value.trim().length > 3;

/** Where the document leaves a reader to guess. */
function* undescribed(root: Node): Generator<string> {
  const schemas = entries((root.components as Node).schemas);
  const saysWhat = (schema: unknown): boolean => {
    if (!isNode(schema)) return false;
    const named = schemas.find(([name]) => schema.$ref === `#/components/schemas/${name}`);
    return isSaid(schema.description) || (named !== undefined && isSaid(named[1].description));
  };
  function* within(schema: unknown, at: string): Generator<string> {
    for (const [key, value] of entries(schema)) {
      if (key === 'example' || key === 'examples' || !isNode(value)) continue;
      for (const [name, property] of key === 'properties' ? entries(value) : []) {
        if (!saysWhat(property)) yield `${at}.${name}`;
      }
      yield* within(value, key === 'properties' ? at : `${at}.${key}`);
    }
  }
  for (const [name, schema] of schemas) {
    if (!isSaid(schema.description)) yield name;
    yield* within(schema, name);
  }
  for (const [path, item] of entries(root.paths)) {
    for (const [method, operation] of entries(item)) {
      const at = `${method} ${path}`;
      if (!isSaid(operation.summary)) yield `${at}: summary`;
      if (!isSaid(operation.description)) yield `${at}: description`;
      for (const [, parameter] of entries(operation.parameters)) {
        if (!saysWhat(parameter) && !saysWhat(parameter.schema)) yield `${at}: ${String(parameter.name)}`;
      }
      if (isNode(operation.requestBody) && !isSaid(operation.requestBody.description)) yield `${at}: body`;
      for (const [status, response] of entries(operation.responses)) {
        if (!isSaid(response.description)) yield `${at}: ${status}`;
        for (const [header, said] of entries(response.headers)) if (!saysWhat(said)) yield `${at}: ${status} ${header}`;
      }
      yield* within(operation, at);
    }
  }
}

describe('the OpenAPI document', () => {
  test('describes every route, and no other', () => {
    const app = createApp(stubService(), { log: keepingLog(), version: '0' });
    const mounted = mountedOperations((app.router as unknown as { stack: Layer[] }).stack);
    // What GET implies, and what every path has, is said of none.
    const assets = /^(?:get \/docs\/|head |options )/;
    expect(mounted.filter((name) => !assets.test(name)).sort()).toEqual(operations.map(({ name }) => name).sort());
  });

  test('names every operation once and gives every one that needs a token its problems', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { name, operation } of operations.filter(({ name }) => name.includes('/v1/'))) {
      expect([name, Object.keys(operation.responses)]).toEqual([
        name,
        expect.arrayContaining(['400', '401', '403', '503']),
      ]);
    }
  });

  test('states times, limits and formats as a client sends them', () => {
    const path = document.paths?.['/v1/series/{id}/samples'] as {
      get: { parameters: { name: string; schema: object }[] };
      post: { requestBody: { content: Record<string, unknown> } };
    };
    const limit = path.get.parameters.find(({ name }) => name === 'limit');
    expect(limit?.schema).toMatchObject({ type: 'integer', minimum: 1 });
    expect(Object.keys(path.post.requestBody.content).sort()).toEqual([
      'application/json',
      'application/octet-stream',
      'application/vnd.apache.arrow.file',
      'application/vnd.apache.arrow.stream',
      'application/x-ndjson',
      'application/x-npy',
      'text/csv',
    ]);
  });

  test('shows the shape of provenance by an example that fits it', () => {
    const shape = document.components?.schemas?.Provenance as { properties: object; example: object };
    expect(Object.keys(shape.properties)).toEqual(expect.arrayContaining(['instrument', 'source', 'derived_from']));
    expect(provenance.parse(shape.example)).toEqual(shape.example);
    expect(JSON.stringify(document.components?.schemas?.SeriesPatch)).toContain('derived_from');
  });

  test('has an introduction that says where the token is, and a description for every operation, parameter, field, header and answer', () => {
    expect(document.info.description).toMatch(/^## First steps$/m);
    expect(document.info.description).toContain('`token` of the service');
    expect([...undescribed(JSON.parse(JSON.stringify(document)) as Node)]).toEqual([]);
  });

  test('is plain JSON and refers only to what it has', () => {
    const text = JSON.stringify(document);
    expect(JSON.parse(text).info.version).toBe('1.2.3');
    const schemas = Object.keys(document.components?.schemas ?? {});
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) expect(schemas).toContain(name);
  });
});
