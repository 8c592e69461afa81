import { graphql } from '../../gql';
import { forget, freshToken, type Account } from '../../shared/accounts';
import { tell } from './anonymous';

const LOGOUT = graphql(`
  mutation Logout {
    logout {
      userErrors {
        message
      }
    }
  }
`);

/** Forgets an account and ends its session: in this order, as the windows that show it are to know that a person did it.
 *  Where the server cannot be told, the session ends by itself when it has not been used for long. */
export async function signOut(account: Account) {
  const token = await freshToken(account.id).catch(() => null);
  forget(account.id);
  if (token) await tell(LOGOUT, {}, token);
}
