// The calls, one after the other. Each returns its part of the program's document.
import { BULK_DEADLINE_MS, READ_DEADLINE_MS, send } from './connection.js';
import { CreateCollectionRequest, metricToJSON } from './generated/vecgate/v1/collection.js';
import { EncodeRequest, Role } from './generated/vecgate/v1/encode.js';
import type { Value } from './generated/vecgate/v1/metadata.js';
import { Record as Stored } from './generated/vecgate/v1/record.js';
import { Query, SearchOptions, SearchRequest } from './generated/vecgate/v1/search.js';
import type { VectorSearchServiceClient } from './generated/vecgate/v1/service.js';
import { UpsertRequest } from './generated/vecgate/v1/write.js';
import { Refusal, type Report } from './refusal.js';
import { instant, integer, list, number, pack, readable, text, truth, unpack } from './values.js';

export const COLLECTION = 'example-node';
const QUESTION = 'a sleeping cat';
const RESTING = 'A kitten dozes on the sofa.';

type Client = VectorSearchServiceClient;
type Metadata = { [field: string]: Value };

export async function askServer(client: Client) {
  const info = await send(client, client.getServerInfo, {}, READ_DEADLINE_MS);
  return { version: info.version, default_model: info.defaultModel, max_batch: info.limits?.maxBatch };
}

/** Binds a collection to the server's default model. It stays, to be looked at or used again. */
export async function makeCollection(client: Client) {
  const request = CreateCollectionRequest.fromPartial({
    name: COLLECTION,
    source: { $case: 'model', value: {} },
    ifNotExists: true,
  });
  const { created, collection } = await send(client, client.createCollection, request, BULK_DEADLINE_MS);
  return {
    name: COLLECTION,
    created,
    dimension: collection?.dimension,
    metric: collection && metricToJSON(collection.metric),
  };
}

/** Stores three texts, which the server encodes, and one vector of the program's own. Sending it again changes nothing. */
export async function upsert(client: Client) {
  const { components, fingerprint } = await encode(client, RESTING, Role.ROLE_DOCUMENT);
  const sofa = record('sofa', RESTING, { topic: text('pets'), year: integer(2025n) });
  const request = UpsertRequest.fromPartial({
    collection: COLLECTION,
    records: [...documents(), { ...sofa, vector: pack(components) }],
    // Says what made the vectors, so that the server can refuse those of another model.
    vectorFingerprint: fingerprint,
  });
  const done = await send(client, client.upsert, request, BULK_DEADLINE_MS);
  return { stored: done.storedCount, failed: done.failedCount };
}

function documents(): Stored[] {
  return [
    record('mat', 'The cat sat on the mat.', { topic: text('pets'), year: integer(2021n) }),
    record('rug', 'A feline rested on the rug.', {
      topic: text('pets'),
      year: integer(2024n),
      serial: integer(9007199254740993n), // 2^53 + 1, which a number cannot hold
      weight: number(4.25),
      indoors: truth(true),
      seen: instant(new Date('2024-02-29T12:30:00Z'), 123456789),
      tags: list('cat', 'rug'),
    }),
    record('rates', 'The central bank raised interest rates.', { topic: text('money'), year: integer(2024n) }),
  ];
}

function record(id: string, sentence: string, metadata: Metadata): Stored {
  return { id, text: sentence, vector: undefined, metadata };
}

/** Lets the server encode the question; the filter is in its text form. */
export function searchByText(client: Client) {
  return search(client, { input: { $case: 'text', value: QUESTION } }, {
    filter: { node: { $case: 'expression', value: 'topic = "pets" AND year >= 2022' } },
  });
}

/** Asks the same with a vector of its own and the filter as a tree, so the answer is the same. */
export async function searchByVector(client: Client) {
  const { components, fingerprint } = await encode(client, QUESTION, Role.ROLE_QUERY);
  const pets = { field: 'topic', test: { $case: 'eq' as const, value: text('pets') } };
  const recent = { field: 'year', test: { $case: 'gte' as const, value: integer(2022n) } };
  const filters = [pets, recent].map((value) => ({ node: { $case: 'condition' as const, value } }));
  return search(client, { input: { $case: 'vector', value: pack(components) } }, {
    filter: { node: { $case: 'allOf', value: { filters } } },
    topK: 5,
    vectorFingerprint: fingerprint,
  });
}

async function search(client: Client, query: Query, options: Parameters<typeof SearchOptions.fromPartial>[0]) {
  const request = SearchRequest.fromPartial({ collection: COLLECTION, query, options });
  const { result } = await send(client, client.search, request, READ_DEADLINE_MS);
  return (result?.matches ?? []).map(({ id, score, text, metadata }) => ({
    id,
    score,
    text,
    metadata: Object.fromEntries(Object.entries(metadata).map(([field, value]) => [field, readable(value)])),
  }));
}

/** A vector and the fingerprint of what made it. */
async function encode(client: Client, sentence: string, role: Role) {
  const request = EncodeRequest.fromPartial({ texts: [sentence], role });
  const { embeddings, model } = await send(client, client.encode, request, READ_DEADLINE_MS);
  return { components: unpack(embeddings[0]?.vector), fingerprint: model?.fingerprint };
}

/** Searches with a vector that is too short, and takes the refusal apart. */
export async function meetRefusal(client: Client): Promise<Report> {
  try {
    await search(client, { input: { $case: 'vector', value: pack([1, 2, 3]) } }, {});
  } catch (error) {
    if (error instanceof Refusal) return error.report;
    throw error;
  }
  throw new Error('a vector of three components was not refused');
}
