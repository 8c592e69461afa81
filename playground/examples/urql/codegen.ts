// Types of every operation in src.
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
  },
};

export default config;
