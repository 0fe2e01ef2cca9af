/**
 * Types of the API for the page, from the OpenAPI document: `paths` as openapi-fetch reads it. The usual generator needs
 * the compiler of TypeScript 5 as a library, which later ones do not have.
 */

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

/** @returns the text of a declaration file with `paths` and `schemas` */
export function apiTypes(document) {
  const schemas = Object.entries(document.components?.schemas ?? {}).map(
    ([name, schema]) => `  ${key(name)}: ${typeOf(schema)};`,
  );
  const paths = Object.entries(document.paths).map(([path, item]) => `  ${key(path)}: ${pathType(item)};`);
  return [
    '/** Made from the OpenAPI document by support/api-types.js. */',
    `export interface schemas {\n${schemas.join('\n')}\n}`,
    `export interface paths {\n${paths.join('\n')}\n}\n`,
  ].join('\n');
}

function pathType(item) {
  const methods = METHODS.map((method) => {
    const operation = item[method];
    return operation ? `${method}: ${operationType(operation, item.parameters ?? [])}` : `${method}?: never`;
  });
  return `{ ${methods.join('; ')} }`;
}

function operationType(operation, shared) {
  const parameters = [...shared, ...(operation.parameters ?? [])];
  const places = ['query', 'header', 'path', 'cookie'].map((place) => {
    const here = parameters.filter((each) => each.in === place);
    if (here.length === 0) return `${place}?: never`;
    const fields = here.map((each) => `${key(each.name)}${each.required ? '' : '?'}: ${typeOf(each.schema ?? {})}`);
    return `${place}${here.some((each) => each.required) ? '' : '?'}: { ${fields.join('; ')} }`;
  });
  const body = operation.requestBody;
  const bodyType = body
    ? `requestBody${body.required ? '' : '?'}: { content: ${contentType(body.content)} }`
    : 'requestBody?: never';
  const responses = Object.entries(operation.responses).map(
    ([status, answer]) =>
      `${status}: { headers: { [name: string]: unknown }; content${answer.content ? `: ${contentType(answer.content)}` : '?: never'} }`,
  );
  return `{ parameters: { ${places.join('; ')} }; ${bodyType}; responses: { ${responses.join('; ')} } }`;
}

function contentType(content) {
  return `{ ${Object.entries(content)
    .map(([media, { schema }]) => `${key(media)}: ${typeOf(schema ?? {})}`)
    .join('; ')} }`;
}

function typeOf(schema) {
  if (schema === true) return 'unknown';
  if (schema.$ref) return `schemas[${key(schema.$ref.split('/').at(-1))}]`;
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum) return union(schema.enum.map((each) => JSON.stringify(each)));
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return union(choices.map(typeOf));
  if (schema.allOf) return schema.allOf.map((each) => `(${typeOf(each)})`).join(' & ');
  if (Array.isArray(schema.type)) return union(schema.type.map((type) => typeOf({ ...schema, type })));
  switch (schema.type) {
    case 'string':
    case 'boolean':
    case 'null':
      return schema.type;
    case 'number':
    case 'integer':
      return 'number';
    case 'array':
      return `(${typeOf(schema.items ?? {})})[]`;
    case 'object':
      return objectType(schema);
    default:
      return 'unknown';
  }
}

function objectType({ properties = {}, required = [], additionalProperties }) {
  const fields = Object.entries(properties).map(
    ([name, each]) => `${key(name)}${required.includes(name) ? '' : '?'}: ${typeOf(each)}`,
  );
  const isOpen = additionalProperties !== undefined && additionalProperties !== false;
  // Other keys of an object that names some have to fit these, too.
  if (isOpen) fields.push(`[key: string]: ${fields.length > 0 ? 'unknown' : typeOf(additionalProperties)}`);
  return fields.length > 0 ? `{ ${fields.join('; ')} }` : 'Record<string, never>';
}

function union(types) {
  return [...new Set(types)].join(' | ');
}

function key(name) {
  return JSON.stringify(name);
}
