"""Customers' accounts: logins, links that mails carry, and what a new account waits for."""
