// Types of every operation in the chat and the explorer, from the committed schema. What it writes is not committed.
import type { CodegenConfig } from '@graphql-codegen/cli';

const config: CodegenConfig = {
  schema: '../schema.graphql',
  documents: ['src/**/*.{ts,tsx}', '!src/gql/**'],
  generates: {
    'src/gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        scalars: { DateTime: 'string', ID: 'string' },
        useTypeImports: true,
        enumsAsTypes: true,
        avoidOptionals: { field: true },
      },
    },
    // What the normalised cache knows of the schema: which types an interface or a union has.
    'src/gql/schema.json': { plugins: ['introspection'], config: { minify: true, descriptions: false } },
  },
};

export default config;
