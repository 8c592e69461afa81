import { graphql } from '../../gql';
import type { LoginInput, RegisterInput, SignInFragment } from '../../gql/graphql';
import { signIn } from '../../shared/accounts';
import { refusals, type Refusals } from '../ui';
import { tell } from './anonymous';

graphql(`
  fragment SignIn on AuthPayload {
    accessToken
    refreshToken
    accessTokenExpiresAt
    viewer {
      id
      user {
        id
        username
        displayName
      }
    }
    userErrors {
      code
      message
      field
    }
  }
`);

const LOGIN = graphql(`
  mutation Login($input: LoginInput!) {
    login(input: $input) {
      ...SignIn
    }
  }
`);

const REGISTER = graphql(`
  mutation Register($input: RegisterInput!) {
    register(input: $input) {
      ...SignIn
    }
  }
`);

export async function login(input: LoginInput): Promise<Refusals> {
  const { data, error } = await tell(LOGIN, { input });
  return keep(data?.login) ?? refusals(error, data?.login);
}

export async function register(input: RegisterInput): Promise<Refusals> {
  const { data, error } = await tell(REGISTER, { input });
  return keep(data?.register) ?? refusals(error, data?.register);
}

/** Shows in this window who has signed in; null when nobody has. */
function keep(payload: SignInFragment | undefined): Refusals | null {
  if (!payload?.accessToken || !payload.refreshToken || !payload.accessTokenExpiresAt || !payload.viewer) return null;
  const { accessToken, refreshToken, accessTokenExpiresAt } = payload;
  const { id, username, displayName } = payload.viewer.user;
  signIn({ id, username, displayName, accessToken, refreshToken, accessTokenExpiresAt });
  return [];
}
