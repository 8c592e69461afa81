// What is asked without a cache and outside of the chat: the sign-in, and the pages that links and mails lead to.
import { Client, CombinedError, fetchExchange, type AnyVariables, type OperationContext, type TypedDocumentNode } from '@urql/core';
import { freshToken, type Account } from '../../shared/accounts';
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

/** Asks or tells something with a token of the account that lives. */
export async function asAccount<Answer>(account: Account, work: (token: string) => Promise<Answer>): Promise<Answer | { data: undefined; error: CombinedError }> {
  let token: string;
  try {
    token = await freshToken(account.id);
  } catch (error) {
    // The server is away; or the session is over, and then the window shows nobody a moment later.
    return { data: undefined, error: new CombinedError({ networkError: error as Error }) };
  }
  return work(token);
}
