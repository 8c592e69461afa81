// Signing in and out, and the token for each operation.
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import { graphql } from '../gql';
import type { LoginInExplorerMutation, LoginInput, RegisterInput } from '../gql/graphql';
import { forget, freshToken, signIn, type Account } from '../shared/accounts';
import { httpUrl } from '../shared/server';

type SignedIn = LoginInExplorerMutation['login'];

/** `field` is the path of the input field at fault, e.g. `["input", "username"]`. */
export type Refusal = Pick<SignedIn['userErrors'][number], 'message' | 'field'>;

const Login = graphql(`
  mutation LoginInExplorer($input: LoginInput!) {
    login(input: $input) {
      accessToken
      accessTokenExpiresAt
      refreshToken
      userErrors { message field }
    }
  }
`);

const Register = graphql(`
  mutation RegisterInExplorer($input: RegisterInput!) {
    register(input: $input) {
      accessToken
      accessTokenExpiresAt
      refreshToken
      userErrors { message field }
    }
  }
`);

const Logout = graphql(`
  mutation LogoutInExplorer {
    logout { userErrors { message } }
  }
`);

const Whose = graphql(`
  query WhoseTokenInExplorer {
    viewer { user { id username displayName } }
  }
`);

/** Signs this window in; gives what was refused. */
export async function login(input: LoginInput): Promise<Refusal[]> {
  const { login } = await ask(Login, { input });
  return keep(login);
}

/** Makes an account and signs this window in to it; gives what was refused. */
export async function register(input: RegisterInput): Promise<Refusal[]> {
  const { register } = await ask(Register, { input });
  return keep(register);
}

/** Forgets the account and ends the session on the server; in this order, as other windows are to know who did it. */
export async function logout(account: Account) {
  const token = freshToken(account.id);
  await token.catch(() => {}).finally(() => forget(account.id));
  await ask(Logout, {}, await token);
}

export type Tokens = Partial<Pick<SignedIn, 'accessToken' | 'refreshToken' | 'accessTokenExpiresAt'>>;

/** Signs this window in with tokens that an operation brought. Without a refresh token they would not last. */
export async function adopt({ accessToken, refreshToken, accessTokenExpiresAt }: Tokens) {
  if (!accessToken || !refreshToken) return;
  const { viewer } = await ask(Whose, {}, accessToken);
  if (!viewer) return;
  const expires = accessTokenExpiresAt ?? new Date().toISOString();
  signIn({ ...viewer.user, accessToken, refreshToken, accessTokenExpiresAt: expires });
}

async function keep(payload: Tokens & { userErrors: Refusal[] }): Promise<Refusal[]> {
  await adopt(payload);
  return payload.userErrors;
}

async function ask<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables, token?: string) {
  const response = await fetch(httpUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const { data, errors } = (await response.json()) as { data?: Data; errors?: { message: string }[] };
  if (!data) throw new Error(errors?.[0]?.message ?? 'The server did not answer. Try again.');
  return data;
}
