// Types of every operation in src, and which types an interface or union of the schema has, for the cache.
import type { CodegenConfig } from '@graphql-codegen/cli';

const config: CodegenConfig = {
  // Copied elsewhere, ask the server for it: http://127.0.0.1:8000/schema.graphql
  schema: '../../../schema.graphql',
  documents: 'src/**/*.graphql',
  generates: {
    'src/gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: { scalars: { DateTime: 'string', ID: 'string' }, useTypeImports: true },
    },
    'src/gql/possible-types.ts': { plugins: ['fragment-matcher'] },
  },
};

export default config;
