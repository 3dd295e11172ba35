curl -X POST http://localhost:8080/api/v1/dashboard/alerts \
  -H "Content-Type: application/json" \
  -d '{
    "name": "High CPU Usage",
    "condition": "cpu_utilization > 0.8",
    "severity": "high",
    "channels": ["dashboard", "webhook"],
    "cooldown": 300000
  }'
