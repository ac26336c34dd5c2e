"""Following Argo CD: what it says of tenants becomes what people are told of them."""
