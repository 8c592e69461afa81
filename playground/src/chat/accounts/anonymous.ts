// What can be asked without an account, or before anybody knows which: the sign-in, and the pages that mails lead to.
import { Client, fetchExchange, type AnyVariables, type TypedDocumentNode } from '@urql/core';
import { httpUrl } from '../../shared/server';

const client = new Client({ url: httpUrl.href, exchanges: [fetchExchange], preferGetMethod: false, requestPolicy: 'network-only' });

export const ask = <Data, Variables extends AnyVariables>(document: TypedDocumentNode<Data, Variables>, variables: Variables) =>
  client.query(document, variables).toPromise();

/** Runs a mutation, as whoever `token` belongs to if there is one. */
export const tell = <Data, Variables extends AnyVariables>(document: TypedDocumentNode<Data, Variables>, variables: Variables, token?: string) =>
  client
    .mutation(document, variables, token ? { fetchOptions: { headers: { authorization: `Bearer ${token}` } } } : {})
    .toPromise();
