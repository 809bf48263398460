"""The control plane: operations over HTTP today, the provisioning interface next. A thin face on the rest."""
