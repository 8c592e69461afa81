// What is asked without a cache and outside of the chat: the sign-in, and the pages that links and mails lead to.
import { Client, fetchExchange, type AnyVariables, type OperationContext, type TypedDocumentNode } from '@urql/core';
import { httpUrl } from '../../shared/server';

const client = new Client({ url: httpUrl.href, exchanges: [fetchExchange], preferGetMethod: false, requestPolicy: 'network-only' });

/** Runs a query, as whoever `token` belongs to if there is one. */
export const ask = <Data, Variables extends AnyVariables>(document: TypedDocumentNode<Data, Variables>, variables: Variables, token?: string) =>
  client.query(document, variables, as(token)).toPromise();

/** Runs a mutation, as whoever `token` belongs to if there is one. */
export const tell = <Data, Variables extends AnyVariables>(document: TypedDocumentNode<Data, Variables>, variables: Variables, token?: string) =>
  client.mutation(document, variables, as(token)).toPromise();

const as = (token: string | undefined): Partial<OperationContext> =>
  token ? { fetchOptions: { headers: { authorization: `Bearer ${token}` } } } : {};
