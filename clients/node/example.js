// vecgate from Node.js with nothing but the .proto files: encode, upsert, search, clean up.
// Usage: node example.js [host:port]

import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import protobuf from 'protobufjs';

const PROTOS = fileURLToPath(new URL('../../protos', import.meta.url));
const DEADLINE_MS = 60_000;
const COLLECTION = `node-example-${process.pid}`;

const DOCUMENTS = [
  { id: 'mat', text: 'The cat sat on the mat.', metadata: { topic: { string_value: 'pets' }, year: { int_value: '2021' } } },
  { id: 'rug', text: 'A feline rested on the rug.', metadata: { topic: { string_value: 'pets' }, year: { int_value: '2024' } } },
  { id: 'rates', text: 'The central bank raised interest rates.', metadata: { topic: { string_value: 'money' }, year: { int_value: '2024' } } },
];

/** Connect, and return one promise-returning function for each unary RPC, named as in the .proto. */
function connect(target) {
  const definition = protoLoader.loadSync('vecgate/v1/service.proto', {
    includeDirs: [PROTOS],
    keepCase: true,
    longs: String, // 64-bit integers do not fit a JavaScript number
    enums: String,
    oneofs: true,
  });
  const { VectorSearchService } = grpc.loadPackageDefinition(definition).vecgate.v1;
  const client = new VectorSearchService(target, grpc.credentials.createInsecure());
  const call = (method) => {
    const unary = promisify(client[method].bind(client));
    return (request) => unary(request, new grpc.Metadata(), { deadline: Date.now() + DEADLINE_MS });
  };
  return {
    encode: call('Encode'),
    createCollection: call('CreateCollection'),
    upsert: call('Upsert'),
    search: call('Search'),
    deleteCollection: call('DeleteCollection'),
    close: () => client.close(),
  };
}

/** Read a packed vector: little-endian float32. */
function unpack(bytes) {
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

/** google.rpc.Status and the one of its details that matters here, as far as they are read. */
const RPC = protobuf.parse(`
  syntax = "proto3";
  message Status { int32 code = 1; string message = 2; repeated Detail details = 3; }
  message Detail { string type_url = 1; bytes value = 2; }
  message ErrorInfo { string reason = 1; string domain = 2; }
`).root;

/** The machine reason of a failed call, such as "COLLECTION_NOT_FOUND". */
function reasonOf(error) {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  if (!bytes) return grpc.status[error.code];
  const { details } = RPC.lookupType('Status').decode(bytes);
  const info = details.find(({ typeUrl }) => typeUrl.endsWith('/google.rpc.ErrorInfo'));
  return RPC.lookupType('ErrorInfo').decode(info.value).reason;
}

async function run(target) {
  const vecgate = connect(target);
  try {
    const { embeddings, model } = await vecgate.encode({ texts: ['a sleeping cat'], role: 'ROLE_QUERY' });
    const vector = unpack(embeddings[0].vector.packed);

    await vecgate.createCollection({ name: COLLECTION, model: {} });
    const { stored_count: stored } = await vecgate.upsert({ collection: COLLECTION, records: DOCUMENTS });
    const byText = await vecgate.search({
      collection: COLLECTION,
      query: { text: 'a sleeping cat' },
      options: { top_k: 2, filter: { expression: 'topic = "pets"' } },
    });
    const byVector = await vecgate.search({
      collection: COLLECTION,
      query: { vector: { floats: { values: vector } } },
      options: { top_k: 3 },
    });
    const refused = await vecgate
      .search({ collection: COLLECTION, query: { text: 'x' }, options: { top_k: 0 } })
      .catch((error) => ({ code: grpc.status[error.code], reason: reasonOf(error) }));
    await vecgate.deleteCollection({ name: COLLECTION });

    return {
      model: model.name,
      dimension: vector.length,
      stored,
      by_text: byText.result.matches.map(({ id, score, metadata }) => ({ id, score, year: metadata.year.int_value })),
      by_vector: byVector.result.matches.map(({ id, score }) => ({ id, score })),
      refused,
    };
  } finally {
    vecgate.close();
  }
}

run(process.argv[2] ?? 'localhost:50051').then(
  (answer) => console.log(JSON.stringify(answer, null, 2)),
  (error) => {
    console.error(`error: ${error.details ?? error.message}`);
    process.exitCode = 1;
  },
);
