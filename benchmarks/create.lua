wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"name": "Ann Lee", "email": "ann@example.com", "company": "Acme", "source": "web"}'
