mod hostile;
mod oracle;
mod paths;
