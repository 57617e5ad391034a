"""Parts of the commands that train, evaluate and drive an avatar."""
